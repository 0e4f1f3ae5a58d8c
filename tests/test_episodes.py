"""Sources of whole episodes: of random actions, of a policy, of a task, and from the disk."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from memup_models import EPISODES, memup, predictor, with_memory

from farback.acting import AbstractPolicy
from farback.cell import AbstractCell
from farback.envs import PreviousActionReward, TMaze
from farback.memup import (
    GaussianLikelihood,
    PolicyEpisodes,
    RandomEpisodes,
    StoredEpisodes,
    TaskEpisodes,
    TopK,
    save_episodes,
)
from farback.tasks import SignalledCopy
from farback.types import InputError

pytestmark = pytest.mark.slow


def test_random_episodes_have_the_return_of_their_actions(key):
    env = PreviousActionReward(TMaze(6, extra=2))
    episodes = RandomEpisodes(env, 9).draw(50, key)
    lengths = np.asarray(episodes.mask.sum(1))
    assert set(lengths) == {6, 7, 8}
    hints, actions = episodes.inputs.observation["observation"][:, 0, 0], episodes.inputs.action
    rows = zip(np.asarray(hints), np.asarray(actions), np.asarray(episodes.targets), lengths, strict=True)
    for hint, action, targets, length in rows:
        right = (hint > 0) == (action[length - 1] == 1)
        assert targets[length - 1] == (4 if right else -3)
        assert np.count_nonzero(targets) == 1
    discounted = RandomEpisodes(env, 9, 0.5).draw(50, key).targets
    last = np.take_along_axis(np.asarray(episodes.targets), lengths[:, None] - 1, 1)
    assert np.allclose(np.take_along_axis(np.asarray(discounted), lengths[:, None] - 3, 1), last / 4)


class Follow(AbstractPolicy):
    """Takes action 1 if a number of the observation, now or in the first step, is positive."""

    place: int
    remember: bool

    def initial(self):
        return jnp.zeros(())

    def __call__(self, state, observation, first, key):
        now = observation[self.place]
        state = jnp.where(first, now, state) if self.remember else now
        return state, (state > 0).astype(int), ()


def test_policy_episodes_are_those_of_the_policy(key):
    """Its noise decides at the junction, and the hint is forgotten."""
    episodes = PolicyEpisodes(TMaze(4), Follow(2, False)).draw(60, key)
    noise, action = episodes.inputs.observation[..., 2], episodes.inputs.action
    assert jnp.mean((noise > 0) == (action == 1), where=episodes.mask) > 0.99
    assert jnp.mean(episodes.targets[:, 3]) < 1.5


def test_policy_episodes_carry_the_state_of_the_policy(key):
    """A policy that keeps the hint is always right at the junction."""
    env = TMaze(4)
    data = PolicyEpisodes(env, Follow(0, True))
    random = RandomEpisodes(env)
    assert (data.output_size, data.steps) == (random.output_size, random.steps)
    assert jnp.all(data.draw(60, key).targets[:, 3] == 4)
    assert jnp.mean(random.draw(60, key).targets[:, 3]) < 2


def test_stored_episodes_are_those_that_were_drawn(key, tmp_path):
    there = tmp_path / "there"
    save_episodes(EPISODES, str(there), 5, key=key, chunk=2)
    stored = StoredEpisodes(EPISODES, str(there))
    assert (stored.count, stored.steps, stored.action_space) == (5, EPISODES.steps, EPISODES.action_space)
    first = jax.tree.map(lambda leaf: leaf[:2], EPISODES.draw(2, jax.random.fold_in(key, 0)))
    assert np.array_equal(np.load(there / "0.npy")[:2], first.inputs.observation)
    drawn = jax.jit(jax.vmap(lambda key: stored.draw(30, key)))(jax.random.split(key, 2)).inputs.observation
    known = {np.load(there / "0.npy")[index].tobytes() for index in range(5)}
    assert {np.asarray(one).tobytes() for one in drawn.reshape(-1, *drawn.shape[2:])} == known
    algorithm = memup(data=stored, batch_size=2, window=4)
    _, outcome = eqx.filter_jit(algorithm.update)(algorithm.begin(predictor(stored, key), key))
    assert jnp.isfinite(outcome.loss)


def test_save_episodes_refuses_nan_and_empty_episodes(key, tmp_path):
    def torn(change):
        class Torn(TaskEpisodes):
            def draw(self, count, key):
                return change(super().draw(count, key))

        return Torn(SignalledCopy(3, symbols=3, length=2))

    def with_nan(one):
        return eqx.tree_at(lambda one: one.inputs.observation, one, one.inputs.observation.at[0, 1].set(jnp.nan))

    with pytest.raises(InputError, match=r"inputs\.observation is NaN"):
        save_episodes(torn(with_nan), tmp_path / "nan", 5, key=key)
    empty = torn(lambda one: eqx.tree_at(lambda one: one.mask, one, one.mask.at[0].set(False)))
    with pytest.raises(InputError, match="an episode without steps"):
        save_episodes(empty, tmp_path / "empty", 5, key=key)
    with pytest.raises(InputError, match="count=0"):
        save_episodes(EPISODES, tmp_path / "none", 0, key=key)


def test_episodes_have_the_given_number_of_steps(key):
    with pytest.raises(InputError, match="steps=0"):
        RandomEpisodes(TMaze(4), 0)
    with pytest.raises(InputError, match=r"steps=99.*has 7"):
        TaskEpisodes(SignalledCopy(3, symbols=4, length=2), 99)
    assert TaskEpisodes(SignalledCopy(3, symbols=4, length=2), 5).draw(2, key).mask.shape == (2, 5)


def test_gaussian_likelihood_is_the_negative_log_density():
    data, inner = GaussianLikelihood(RandomEpisodes(TMaze(4)), floor=0.2), RandomEpisodes(TMaze(4))
    assert (data.action_space, data.output_size) == (inner.action_space, 2)
    output, deviation = jnp.array([1.5, 0.3]), 0.2 + jax.nn.softplus(0.3)
    loss, metrics = data.loss(output, jnp.array(4.0))
    expected = -jax.scipy.stats.norm.logpdf(4.0, 1.5, deviation) - 0.5 * jnp.log(2 * jnp.pi)
    assert jnp.allclose(loss, expected)
    assert jnp.allclose(metrics["squared_error"].mean, 6.25)
    assert jnp.allclose(metrics["deviation"].mean, deviation)
    with pytest.raises(InputError, match="floor=0"):
        GaussianLikelihood(RandomEpisodes(TMaze(4)), 0.0)
    with pytest.raises(InputError, match="needs numeric outcomes"):
        GaussianLikelihood(EPISODES)


class Blind(AbstractCell):
    """A memory that holds nothing."""

    def initial(self):
        return jnp.zeros(())

    def __call__(self, state, x):
        return state, jnp.zeros(1)


def test_gaussian_likelihood_learns_the_spread_of_outcomes(key):
    """Without memory, the outcome at the junction is 4 or −3 at random: mean 0.5, standard deviation 3.5."""
    data = GaussianLikelihood(RandomEpisodes(TMaze(2)))
    network = with_memory(data, Blind(), 1, key, hidden=16)
    algorithm = memup(TopK(0), data=data, optimizer=optax.adam(1e-2), batch_size=64)
    with jax.numpy_dtype_promotion("standard"):
        state, _ = algorithm.train(algorithm.begin(network, key), 150)
    junction = jax.tree.map(lambda leaf: leaf[0, -1], data.draw(1, key).inputs)
    output = state.network.head(jnp.zeros(1), jnp.zeros(0), state.network.query(junction))
    assert abs(output[0] - 0.5) < 1.0
    assert abs(0.1 + jax.nn.softplus(output[1]) - 3.5) < 0.7


def test_stored_episodes_refuse_incomplete_directories(key, tmp_path):
    there = tmp_path / "there"
    with pytest.raises(InputError, match=r"has no episodes\.json"):
        StoredEpisodes(EPISODES, str(there))
    save_episodes(EPISODES, there, 5, key=key)
    with pytest.raises(InputError, match="exists and is not empty"):
        save_episodes(EPISODES, there, 5, key=key)
    with pytest.raises(InputError, match="the source that the episodes were saved from"):
        StoredEpisodes(TaskEpisodes(SignalledCopy(4, symbols=3, length=2)), str(there))
    whole = (there / "0.npy").read_bytes()
    (there / "0.npy").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="truncated or not an array"):
        StoredEpisodes(EPISODES, str(there))
    (there / "episodes.json").write_text("{")
    with pytest.raises(InputError, match="is not readable"):
        StoredEpisodes(EPISODES, str(there))
