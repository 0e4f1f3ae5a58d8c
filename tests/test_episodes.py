"""Whole episodes: those of random play, and those that are kept on disk."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import engram
from engram import BPTT, GRU, AgentPlay, Gaussian, InputError
from engram.cells.foresight import Foresight, Head
from engram.memup import MemUP
from engram.objectives.episodes import OfTask
from engram.objectives.play import RandomPlay
from engram.objectives.surprise import Surprising
from engram.tasks import SignalledCopy

EPISODES = OfTask(SignalledCopy(3, symbols=3, length=2))


def test_random_play_tells_what_came_of_its_actions(key):
    env = engram.Previous(engram.TMaze(6, extra=2))
    recording = RandomPlay(env, 9).draw(50, key)
    lengths = np.asarray(recording.counts.sum(1))
    assert set(lengths) == {6, 7, 8}
    for told, targets, length in zip(np.asarray(recording.told.asked), np.asarray(recording.targets), lengths, strict=True):
        right = (told[0, 0] > 0) == (told[length - 1, -1] > 0)
        assert targets[length - 1] == (4 if right else -3)
        assert np.count_nonzero(targets) == 1
    discounted = RandomPlay(env, 9, 0.5).draw(50, key).targets
    last = np.take_along_axis(np.asarray(recording.targets), lengths[:, None] - 1, 1)
    assert np.allclose(np.take_along_axis(np.asarray(discounted), lengths[:, None] - 3, 1), last / 4)


class Wants(engram.AbstractCell):
    """Acts as its input says, at a place: the policy's logit of action 1 is that number, tenfold."""

    place: int

    def initial(self):
        return jnp.zeros(())

    def __call__(self, state, x):
        return state, (jnp.stack([0.0, 10.0]) * x[self.place], jnp.zeros(1))


def test_an_agent_plays_as_it_wants(key):
    """It is asked at the junction what the hint was, and does what its noise says."""
    env = engram.TMaze(4)
    recording = AgentPlay(env, Wants(2)).draw(60, key)
    noise, action = recording.told.seen[..., 2], recording.told.asked[..., -1]
    assert jnp.mean((noise > 0) == (action > 0.5), where=recording.counts) > 0.99
    assert jnp.mean(recording.targets[:, 3]) < 1.5


def test_what_is_seen_of_an_agent_that_is_shown_a_memory_is_what_the_memory_saw(key):
    """The memory keeps the hint, and the agent goes where that says."""
    env = engram.Recalled(engram.TMaze(4), Keeps())
    episodes = AgentPlay(env, Wants(3))
    recording = episodes.draw(60, key)
    assert episodes.sizes == RandomPlay(engram.TMaze(4)).sizes
    assert recording.told.seen.shape[-1] == 3
    assert jnp.all(jnp.abs(recording.told.seen[:, 0, 0]) == 1)
    assert jnp.mean(recording.targets[:, 3]) > 3.5
    assert jnp.mean(RandomPlay(engram.TMaze(4)).draw(60, key).targets[:, 3]) < 2


class Keeps(engram.AbstractCell):
    """What was seen first of all that is not 0."""

    def initial(self):
        return jnp.zeros(())

    def __call__(self, state, x):
        state = jnp.where(state == 0, x[0], state)
        return state, state[None]


def test_what_is_stored_is_what_was_drawn(key, tmp_path):
    there = tmp_path / "there"
    engram.store(EPISODES, str(there), 5, key=key, at_once=2)
    stored = engram.Stored(EPISODES, str(there))
    assert (stored.count, stored.steps, stored.sizes) == (5, EPISODES.steps, EPISODES.sizes)
    first = jax.tree.map(lambda leaf: leaf[:2], EPISODES.draw(2, jax.random.fold_in(key, 0)))
    assert np.array_equal(np.load(there / "0.npy")[:2], first.told.seen)
    drawn = jax.jit(jax.vmap(lambda key: stored.draw(30, key)))(jax.random.split(key, 2))
    known = {np.load(there / "0.npy")[index].tobytes() for index in range(5)}
    assert {np.asarray(one).tobytes() for one in drawn.told.seen.reshape(-1, *drawn.told.seen.shape[2:])} == known
    seen, asked, said = stored.sizes
    model = Foresight(GRU(seen, 4, key=key), Head(4, 0, asked, 5, said, key=key))
    up = MemUP(stored, BPTT(), optax.sgd(0.1))
    _, outcome = eqx.filter_jit(lambda state: up.update(state, 2, 4))(up.init(model, key=key))
    assert jnp.isfinite(outcome.loss)


def test_what_nothing_can_be_learnt_from_is_not_stored(key, tmp_path):
    def torn(change):
        class Torn(OfTask):
            def draw(self, count, key):
                return change(super().draw(count, key))

        return Torn(SignalledCopy(3, symbols=3, length=2))

    nan = torn(lambda one: eqx.tree_at(lambda one: one.told.seen, one, one.told.seen.at[0, 1].set(jnp.nan)))
    with pytest.raises(InputError, match=r"told\.seen is NaN"):
        engram.store(nan, tmp_path / "nan", 5, key=key)
    empty = torn(lambda one: eqx.tree_at(lambda one: one.counts, one, one.counts.at[0].set(False)))
    with pytest.raises(InputError, match="no step that counts"):
        engram.store(empty, tmp_path / "empty", 5, key=key)


def test_episodes_have_as_many_steps_as_is_said(key):
    with pytest.raises(InputError, match="steps=0"):
        RandomPlay(engram.TMaze(4), 0)
    with pytest.raises(InputError, match=r"steps=99.*has 7"):
        OfTask(SignalledCopy(3, symbols=4, length=2), 99)
    assert OfTask(SignalledCopy(3, symbols=4, length=2), 5).draw(2, key).counts.shape == (2, 5)


def test_numbers_are_charged_by_how_likely_they_are(key):
    episodes = Gaussian(RandomPlay(engram.TMaze(4)), floor=0.2)
    assert episodes.sizes == (*RandomPlay(engram.TMaze(4)).sizes[:2], 2)
    said = jnp.array([1.5, 0.3])
    deviation = 0.2 + jax.nn.softplus(0.3)
    loss, metrics = episodes.loss(said, jnp.array(4.0))
    expected = -jax.scipy.stats.norm.logpdf(4.0, 1.5, deviation) - 0.5 * jnp.log(2 * jnp.pi)
    assert jnp.allclose(loss, expected)
    assert jnp.allclose(metrics["squared_error"].mean, 6.25)
    assert jnp.allclose(metrics["deviation"].mean, deviation)
    with pytest.raises(InputError, match="floor=0"):
        Gaussian(RandomPlay(engram.TMaze(4)), 0.0)
    with pytest.raises(InputError, match="asks for something else"):
        Gaussian(EPISODES)


class Blind(engram.AbstractCell):
    """Remembers nothing."""

    def initial(self):
        return jnp.zeros(())

    def __call__(self, state, x):
        return state, jnp.zeros(1)


def test_who_tells_how_sure_it_is_learns_the_spread_of_what_comes(key):
    """Who remembers nothing is right or wrong at the end by chance: 4 or −3."""
    episodes = Gaussian(RandomPlay(engram.TMaze(2)))
    _, asked, said = episodes.sizes
    up = MemUP(episodes, BPTT(), optax.adam(1e-2), Surprising(0))
    state = up.init(Foresight(Blind(), Head(1, 0, asked, 16, said, key=key)), key=key)
    update = eqx.filter_jit(lambda state: up.update(state, 64, episodes.steps))
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(150):
            state, _ = update(state)
    recording = episodes.draw(1, key)
    output = state.model.head(jnp.zeros(1), jnp.zeros(0), recording.told.asked[0, -1])
    assert abs(output[0] - 0.5) < 1.0
    assert abs(0.1 + jax.nn.softplus(output[1]) - 3.5) < 0.7


def test_a_store_that_is_not_whole_is_refused(key, tmp_path):
    there = tmp_path / "there"
    with pytest.raises(InputError, match=r"has no episodes\.json"):
        engram.Stored(EPISODES, str(there))
    engram.store(EPISODES, there, 5, key=key)
    with pytest.raises(InputError, match="already, and not empty"):
        engram.store(EPISODES, there, 5, key=key)
    with pytest.raises(InputError, match="written for other episodes"):
        engram.Stored(OfTask(SignalledCopy(4, symbols=3, length=2)), str(there))
    whole = (there / "0.npy").read_bytes()
    (there / "0.npy").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="cut short, or no array"):
        engram.Stored(EPISODES, str(there))
    (there / "episodes.json").write_text("{")
    with pytest.raises(InputError, match="does not say what is there"):
        engram.Stored(EPISODES, str(there))
