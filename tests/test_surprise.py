"""What is surprising, and what is asked of it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from foresights import EPISODES, foresight, learner
from tables import flat

import engram
from engram import InputError
from engram.objectives import surprise
from engram.objectives.detectors import Slow, Spread, gone_through
from engram.objectives.play import RandomPlay
from engram.objectives.quantiles import midpoints, quantile_loss
from engram.objectives.surprise import AtRandom, Surprising, spread


def test_a_chosen_step_is_surprising_and_ahead(key):
    surprise = jnp.array([5.0, 1.0, 4.0, 2.0, 9.0, 3.0])
    counts = jnp.arange(6) < 5
    chosen = Surprising(2)(surprise, counts, key)
    assert chosen.steps[:4].tolist() == [[4, 0], [4, 2], [4, 2], [4, 3]]
    assert chosen.weight.tolist() == [[1, 1]] * 4 + [[1, 0], [0, 0]]
    assert chosen.steps[4, 0] == 4
    every = Surprising(6)(surprise, counts, key)
    ahead = [sorted(np.asarray(steps)[np.asarray(weight) > 0]) for steps, weight in zip(*every, strict=True)]
    assert ahead == [list(range(step, 5)) for step in range(6)]


def test_scores_are_drawn_by_surprise(key):
    surprise = jnp.array([1.0, 0.0, 0.0, 3.0])
    keys = jax.random.split(key, 4000)

    def shares(choice, surprise):
        draw = jax.vmap(lambda key: choice(surprise, jnp.ones(4, bool), key).steps[1, 0])
        return np.bincount(np.asarray(draw(keys)), minlength=4) / len(keys)

    three = [0, 1 / 3, 1 / 3, 1 / 3]
    assert np.allclose(shares(AtRandom(1), surprise), three, atol=0.03)
    assert np.allclose(shares(Surprising(1, 0.5), jnp.ones(4)), three, atol=0.03)
    sigma = float(spread(surprise, jnp.ones(4, bool)))
    assert np.isclose(sigma, np.std([1, 0, 0, 3]))
    weights = np.exp(np.array([0, 0, 3]) / (1.5 * sigma))
    assert np.allclose(shares(Surprising(1, 1.5), surprise), [0, *(weights / weights.sum())], atol=0.03)
    assert shares(Surprising(1, 0.0), surprise).tolist() == [0, 0, 0, 1]


def test_steps_that_follow_on_each_other_choose_apart(key, monkeypatch):
    def same():
        steps = AtRandom(1)(jnp.ones(1000), jnp.ones(1000, bool), key).steps[:500, 0]
        return float(jnp.mean(steps[1:] == steps[:-1]))

    assert same() < 0.05
    monkeypatch.setattr(surprise, "DRAWS", 1)
    assert same() > 0.9


@pytest.mark.parametrize("choice", [Surprising(2), Surprising(2, temperature=0.1), AtRandom(2)])
def test_a_step_whose_surprise_is_unknown_is_not_asked_about(choice, key):
    surprise = jnp.array([0.0, 1.0, 5.0, jnp.nan, 2.0])
    chosen = choice(surprise, jnp.ones(5, bool), key)
    assert chosen.weight.tolist() == [[1, 1], [1, 1], [1, 1], [1, 0], [1, 0]]
    assert not jnp.any((chosen.steps == 3) & (chosen.weight == 1))
    if choice == Surprising(2):
        assert chosen.steps[0].tolist() == [2, 4]


def test_a_slow_model_follows(key):
    model = foresight(EPISODES, key)
    moved = jax.tree.map(lambda leaf: leaf + 1 if eqx.is_inexact_array(leaf) else leaf, model)
    slow = Slow(0.9)
    known = slow.follow(slow.init(EPISODES, model, key), moved)
    assert jnp.allclose(flat(slow.observer(known, moved)), 0.9 * flat(model) + 0.1 * flat(moved))
    own = Slow(0.0)
    assert own.observer(own.follow(own.init(EPISODES, model, key), moved), moved) is moved


def test_quantiles_are_where_their_loss_is_least(key):
    samples = jnp.sort(jax.random.normal(key, (400,)))
    loss = jax.jit(lambda quantiles: quantile_loss(quantiles, samples, 1e-3))
    found = jax.lax.fori_loop(
        0, 3000, lambda step, at: at - 0.3 / (1 + step.astype(float) / 100) * jax.grad(loss)(at), jnp.zeros(5)
    )
    assert jnp.allclose(found, jnp.quantile(samples, midpoints(5)), atol=0.02)
    error = jnp.array([[0.5, -3.0]])
    by_hand = (0.5 * 0.5**2 / 2 + 0.5 * (3 - 0.5)) / 2
    assert jnp.isclose(quantile_loss(jnp.zeros(1), error[0]), by_hand)


def test_a_spread_is_that_of_what_may_come(key):
    """Before a memory knows anything, the choice at the maze's end may bring 4 or −3, and all else brings nothing."""
    episodes = RandomPlay(engram.TMaze(6))
    spread = Spread(rate=1e-2)
    known = spread.init(episodes, None, key)

    @jax.jit
    def study(arrays, key):
        draw_key, key = jax.random.split(key)
        return eqx.filter(spread.study(eqx.combine(arrays, static), episodes.draw(64, draw_key), key), eqx.is_array)

    arrays, static = eqx.partition(known, eqx.is_array)
    with jax.numpy_dtype_promotion("standard"):
        for part in jax.random.split(key, 20):
            arrays = study(arrays, part)
    recording = episodes.draw(8, key)
    model = foresight(episodes, key, context=False)
    found = spread.surprise(eqx.combine(arrays, static), recording, gone_through(episodes, model, recording))
    assert jnp.all(jnp.abs(found[:, -1] - 3.5) < 0.6)
    assert jnp.all(found[:, :-1] < 0.6)
    with pytest.raises(InputError, match="Spread is of numbers"):
        spread.init(EPISODES, None, key)


def test_what_surprises_nobody_is_said(key):
    up = learner(Surprising(1))
    state, recording = up.init(foresight(EPISODES, key), key=key), EPISODES.draw(3, key)
    said = up.prepare(state, recording, key)[2]["constant"]
    assert (said.total, said.count) == (0, 3)
    nothing = eqx.tree_at(lambda recording: recording.counts, recording, recording.counts.at[:2].set(False))
    assert up.prepare(state, nothing, key)[2]["constant"].total == 0
    one = eqx.tree_at(lambda recording: recording.counts, recording, recording.counts.at[:2, 1:].set(False))
    assert up.prepare(state, one, key)[2]["constant"].total == 2
