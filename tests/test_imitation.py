"""`Imitation`: its inputs are the observations of an agent, and its labels the actions of the strategy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback import InputError
from farback.envs import Bandit, GaussianBandit, TabularMDP
from farback.strategies import Greedy, Imitation, Random

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _as_it_is_run():
    with jax.enable_x64(False):
        yield


def shown(task, length, batch=3):
    return next(task.windows(length, batch, key=jax.random.key(0)))


@pytest.mark.parametrize("task", [Imitation(Bandit(3), Greedy(), 4), Imitation(TabularMDP(3, 2, 3), Greedy(), 2)], ids=str)
def test_imitation_windows_are_consecutive(task):
    whole = shown(task, 3 * task.episode_length)
    for length in (1, task.episode_length + 1):
        windows = task.windows(length, 3, key=jax.random.key(0))
        parts = [next(windows) for _ in range(3 * task.episode_length // length)]
        joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *parts)
        for part, all_of_it in zip(jax.tree.leaves(joined), jax.tree.leaves(whole), strict=True):
            np.testing.assert_array_equal(part, all_of_it[:, : part.shape[1]])


def test_imitation_inputs_are_the_previous_action_and_reward():
    task = Imitation(GaussianBandit(3), Random(), 5)
    window = shown(task, 10)
    observation, ended, action, reward = np.split(np.asarray(window.inputs), np.cumsum([1, 1, 4]), axis=-1)
    time = np.arange(10) % 5
    assert np.asarray(window.first).tolist() == 3 * [(time == 0).tolist()]
    np.testing.assert_array_equal(ended[..., 0], np.broadcast_to(time > 0, (3, 10)))
    np.testing.assert_array_equal(observation, 0)
    none, label = action[..., 0], np.asarray(window.targets.label)
    np.testing.assert_array_equal(none, np.broadcast_to(time == 0, (3, 10)))
    later = time[1:] > 0
    np.testing.assert_array_equal(action.argmax(-1)[:, 1:][:, later] - 1, label[:, :-1][:, later])
    assert (reward[:, time == 0] == 0).all()
    assert len(np.unique(reward[:, time > 0])) == 3 * 8


def test_imitation_of_greedy_is_predictable_from_its_inputs():
    """With two arms, the second pull repeats the first if it was rewarded."""
    task = Imitation(Bandit(2), Greedy(), 2, none=False)
    window = shown(task, 200)
    second = ~np.asarray(window.first)
    seen = np.asarray(window.inputs)[second]
    before, paid = seen[:, 2:4].argmax(-1), seen[:, -1] > 0
    label = np.asarray(window.targets.label)[second]
    np.testing.assert_array_equal(label, np.where(paid, before, 1 - before))
    assert 0.2 < paid.mean() < 0.8


def test_imitation_without_episodes_is_refused():
    with pytest.raises(InputError, match="give episodes >= 1"):
        Imitation(Bandit(2), Greedy(), 0)
