"""Memory trained on the surprises of the far future: what is asked, what credit passes, and that it learns."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from foresights import EPISODES, STEPS, TASK, foresight, learner, prepared
from tables import CELLS, INPUTS, flat

import engram
from engram import BPTT, GRU, InputError
from engram.cell import output_size, reset, unroll
from engram.cells.foresight import Foresight, Head
from engram.cells.strided import Strided
from engram.memup import MemUP, Prepared
from engram.objectives.detectors import Slow, gone_through
from engram.objectives.episodes import OfTask, Recording
from engram.objectives.play import RandomPlay
from engram.objectives.surprise import Chosen, Surprising
from engram.tasks import SignalledCopy


@eqx.filter_jit
def gradient(up: MemUP, model: Foresight, told: Prepared, start: int, length: int, key):
    window = up.window(told, jnp.asarray(start), length)
    carry = up.estimator.init(up.step, model, window)
    return up.estimator.gradient(up.step, model, carry, window, key)


def test_a_block_is_its_steps(key):
    cell = GRU(2, 3, key=key)
    x = jax.random.normal(key, (4, 3, 5, 2))
    first = jax.random.bernoulli(key, 0.4, (4, 3))
    flow = jax.random.uniform(key, (4, 3))
    state = jax.random.normal(key, (3, 3))
    strided = Strided(cell)

    def one(state, now):
        first, x = now
        return jax.vmap(lambda state, first, x: strided(reset(strided, state, first), x))(state, first, x)

    expected = jax.lax.scan(one, state, (first, x))
    found = unroll(strided, state, first, x, jnp.ones(first.shape))
    assert jnp.allclose(flat(expected), flat(found))

    def last(state, flow):
        return jnp.sum(jnp.sin(unroll(strided, state, jnp.zeros(first.shape, bool), x, flow)[0]))

    cut = jax.grad(last)(state, flow.at[2].set(0))
    assert jnp.all(cut == 0)
    assert jnp.allclose(jax.grad(last)(state, flow), jax.grad(last)(state, jnp.ones(flow.shape)) * flow.prod(0)[:, None])


def test_foresight_is_a_cell_that_is_asked_about_the_present(key):
    model = foresight(EPISODES, key)
    told = EPISODES.draw(2, key).told
    turned = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), told)
    first = jnp.zeros((STEPS, 2), bool)
    state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (2, *leaf.shape)), model.initial())
    expected = jax.lax.scan(lambda state, x: jax.vmap(model)(state, x), state, turned)
    assert jnp.allclose(flat(expected), flat(unroll(model, state, first, turned, jnp.ones(first.shape))))


def test_a_window_without_questions_goes_in_segments_too(key):
    model, every = foresight(EPISODES, key), Surprising(0)
    told = prepared(learner(every), model, key)[1]
    exact, found = (
        gradient(learner(every, estimator), model, told, 0, STEPS, key)[0] for estimator in (BPTT(), BPTT(segmented=True))
    )
    assert jnp.abs(flat(exact)).max() > 1e-3
    assert jnp.allclose(flat(found), flat(exact))


def by_hand(up: MemUP, model: Foresight, recording: Recording, context, counted):
    """Σ_t Σ_k counted[t, k] ℓ(head(m_t, c_k, a_k), y_k) / T, mean of the batch, with the whole past of m_t."""

    def one(told, targets, context):
        _, remembered = jax.lax.scan(lambda *now: model.memory(*now), model.memory.initial(), told.seen)

        def loss(memory, context, asked, target):
            return up.episodes.loss(model.head(memory, context, asked), target)[0]

        every = jax.vmap(jax.vmap(loss, in_axes=(None, 0, 0, 0)), in_axes=(0, None, None, None))
        return jnp.sum(counted * every(remembered, context, told.asked, targets))

    return jnp.mean(jax.vmap(one)(recording.told, recording.targets, context)) / STEPS


@eqx.filter_jit
def predicted(up, model, told, counted):
    return eqx.filter_value_and_grad(lambda model: by_hand(up, model, told.recording, told.context, counted))(model)


@pytest.mark.parametrize("estimator", [BPTT(), engram.RTRL()])
def test_all_of_the_future_is_the_sum_of_all_predictions(estimator, key):
    """With K = T and the whole sequence as a window, it is backpropagation through the sum of all predictions."""
    up = learner(Surprising(STEPS), estimator, present=False)
    model = foresight(EPISODES, key, context=False)
    _, told = prepared(up, model, key)
    found, _, outcome = gradient(up, model, told, 0, STEPS, key)
    ahead = jnp.triu(jnp.ones((STEPS, STEPS)))
    value, expected = predicted(up, model, told, ahead)
    assert jnp.allclose(outcome.loss, value, rtol=1e-10)
    assert jnp.allclose(flat(found), flat(expected), rtol=1e-9, atol=1e-12)
    value, wrong = predicted(up, model, told, ahead.T)
    assert not jnp.allclose(flat(found), flat(wrong), rtol=1e-2)


@pytest.mark.parametrize("name", CELLS)
def test_a_memory_is_any_cell(name, key):
    up = learner(Surprising(STEPS), present=False)
    cell, head_key = CELLS[name](key), jax.random.fold_in(key, 1)
    seen, asked, said = EPISODES.sizes
    read = engram.Chain(eqx.nn.Linear(seen, INPUTS, key=head_key), cell)
    model = Foresight(read, Head(output_size(cell, INPUTS), 0, asked, 5, said, key=head_key))
    _, told = prepared(up, model, key)
    found = gradient(up, model, told, 0, STEPS, key)[0]
    _, expected = predicted(up, model, told, jnp.triu(jnp.ones((STEPS, STEPS))))
    assert jnp.allclose(flat(found), flat(expected), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("cell", "estimator"),
    [
        (engram.GRU, engram.SnAp(1)),
        (engram.Leaky, engram.RFLO()),
        (engram.Elman, engram.KFRTRL()),
        (engram.RTU, engram.RTRL()),
    ],
)
def test_an_estimator_knows_the_memory_that_is_asked_after_each_step(cell, estimator, key):
    seen, asked, said = EPISODES.sizes
    memory = cell(seen, 4, key=key)
    model = Foresight(memory, Head(output_size(memory, seen), 0, asked, 5, said, key=key))
    up = learner(Surprising(1), estimator)
    _, told = prepared(up, model, key)
    found, carry, _ = gradient(up, model, told, 0, 3, key)
    assert jnp.abs(flat(found)).max() > 0
    if cell is engram.RTU:  # one trace for each parameter and part of its unit, and not for each unit
        kept = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(carry, eqx.is_inexact_array)))
        assert kept < 2 * 4 * flat(memory).size


def test_nothing_but_the_present_is_ordinary_training(key):
    up = learner(Surprising(0))
    model = foresight(EPISODES, key)
    _, told = prepared(up, model, key)
    found = gradient(up, model, told, 0, STEPS, key)[0]

    def loss(model):
        def one(told, targets):
            outputs = jax.lax.scan(lambda *now: model(*now), model.initial(), told)[1]
            return jnp.mean(jax.vmap(lambda output, target: up.episodes.loss(output, target)[0])(outputs, targets))

        return jnp.mean(jax.vmap(one)(told.recording.told, told.recording.targets))

    assert jnp.allclose(flat(found), flat(eqx.filter_jit(eqx.filter_grad(loss))(model)), rtol=1e-9, atol=1e-12)


def test_credit_reaches_the_window_and_what_was_chosen_and_nothing_else(key):
    """Of r + K steps the gradient depends on, the K tell only what they are asked."""
    start, length = 2, 2
    up = learner(Surprising(1), present=False, every=2)
    model = foresight(EPISODES, key, context=False)
    _, told = prepared(up, model, key)
    chosen = Chosen(jnp.full((2, STEPS, 1), STEPS - 1), jnp.ones((2, STEPS, 1)))

    def norm(recording):
        told = Prepared(recording, chosen, jnp.zeros((2, STEPS, 0)))
        found = gradient(up, model, told, start, length, key)[0]
        return jnp.sum(flat(found) ** 2)

    reach = eqx.filter_jit(eqx.filter_grad(norm))(told.recording).told
    seen, asked = (jnp.any(leaf != 0, axis=(0, 2)).tolist() for leaf in reach)
    assert seen == [start <= step < start + length for step in range(STEPS)]
    assert asked == [step == STEPS - 1 for step in range(STEPS)]


def test_memory_does_not_grow_with_the_episode(key):
    """What is stored to learn from an episode is what is stored for a window, however long the episode is."""

    def stored(steps, length, run):
        up = learner(Surprising(2), episodes=OfTask(SignalledCopy(steps - 4, symbols=3, length=2)))
        state = up.init(foresight(up.episodes, key, units=32), key=key)
        return jax.jit(lambda arrays: run(up, state, arrays, length)).lower(given(up, state, run)).compile()

    def given(up, state, run):
        recording = up.episodes.draw(2, key)
        return recording if run is goes_through else up.prepare(state, recording, key)[1]

    def learns(up, state, told, length):
        return eqx.filter(up.learn(state, told, length, key)[0], eqx.is_array)

    def goes_through(up, state, recording, length):
        del length
        return up.prepare(state, recording, key)[1]

    def grows(run, length):
        """Bytes for each step that an episode is longer by."""
        short, long = (stored(steps, length or steps, run).memory_analysis() for steps in (64, 320))
        return (long.temp_size_in_bytes - short.temp_size_in_bytes) / 256

    state_bytes = 2 * (32 + 3) * 8
    inputs = 2 * (2 * TASK.input_size + 8) * 8
    assert grows(learns, 4) < inputs
    assert grows(goes_through, None) < 3 * inputs
    assert grows(learns, None) > state_bytes + inputs


def test_a_pass_goes_through_all_windows(key):
    up = learner(Surprising(1))
    state = up.init(foresight(EPISODES, key), key=key)
    state, outcome = eqx.filter_jit(lambda state: up.update(state, 2, 3))(state)
    assert state.updates == up.windows(3) == 3
    # The last window has two steps of the episode.
    assert outcome.metrics["losses/present"].count == 2 * STEPS
    assert jnp.isfinite(outcome.loss)


@pytest.mark.parametrize("optimiser", [optax.sgd(0.1), optax.chain(optax.add_decayed_weights(1.0), optax.sgd(0.1))])
def test_a_context_stays_as_it_was_drawn(optimiser, key):
    up = MemUP(EPISODES, BPTT(), optimiser)
    before = up.init(foresight(EPISODES, key), key=key)
    after, _ = up.update(before, 3, STEPS)
    assert jnp.array_equal(flat(before.model.context), flat(after.model.context))
    assert not jnp.array_equal(flat(before.model.memory), flat(after.model.memory))


def test_episodes_with_nan_are_refused(key):
    class Torn(OfTask):
        def draw(self, count, key):
            recording = super().draw(count, key)
            return eqx.tree_at(lambda one: one.told.asked, recording, recording.told.asked.at[1, 2].set(jnp.nan))

    up = learner(episodes=Torn(TASK))
    with pytest.raises(InputError, match=r"told\.asked is NaN or infinite.*\[1, 2, 0\]"):
        up.update(up.init(foresight(EPISODES, key), key=key), 3, STEPS)


def test_episodes_of_no_step_have_no_last_one(key):
    up, recording = learner(), EPISODES.draw(3, key)
    empty = eqx.tree_at(lambda recording: recording.counts, recording, recording.counts.at[1].set(False))
    model = foresight(EPISODES, key)
    said = up.metrics(empty, gone_through(EPISODES, model, empty))["last_surprise"]
    assert said.count == 2


def test_what_cannot_be_is_refused(key):
    with pytest.raises(InputError, match="an episode has"):
        learner(Surprising(STEPS + 1))
    with pytest.raises(InputError, match="asks nothing"):
        learner(Surprising(0), present=False)
    for every in (0, STEPS + 1):
        with pytest.raises(InputError, match=f"every={every}"):
            learner(every=every)
    with pytest.raises(InputError, match="no multiple"):
        learner(every=2).windows(3)
    with pytest.raises(InputError, match="no Foresight"):
        learner().init(GRU(2, 2, key=key), key=key)
    with pytest.raises(InputError, match="targets=-1"):
        Surprising(-1)
    with pytest.raises(InputError, match="temperature=nan"):
        Surprising(1, math.nan)
    with pytest.raises(InputError, match="decay=1"):
        Slow(1.0)


def trained(choice, passes, key):
    episodes = RandomPlay(engram.TMaze(12))
    up = MemUP(episodes, BPTT(), optax.adam(3e-3), choice)
    state = up.init(foresight(episodes, key, units=16, context=False), key=key)

    @eqx.filter_jit
    def run(state):
        arrays, static = eqx.partition(state, eqx.is_array)

        def one(arrays, _):
            state, outcome = up.update(eqx.combine(arrays, static), 32, 1)
            return eqx.filter(state, eqx.is_array), outcome.metrics["last_surprise"].mean

        return jax.lax.scan(one, arrays, None, passes)[1]

    with jax.numpy_dtype_promotion("standard"):
        return run(state)[-10:].mean()


def test_a_window_of_one_step_learns_what_is_twelve_steps_away(key):
    """The variance of what comes of a random choice is 12.25."""
    assert trained(Surprising(1), 150, key) < 1.0
    assert trained(Surprising(0), 150, key) > 10.0
