"""Acting and remembering in turn: who learns what, and that both come of it."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from tables import flat

import engram
from engram import BPTT, GRU, PPO, Alternating, InputError, Surprising, TMaze, actor_critic
from engram.agents.acting import episodes
from engram.agents.alternating import read
from engram.cells import Alongside, Chain, Perceptron
from engram.cells.chain import Stateless

ENV = TMaze(5)


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def beside(learns=False, units=8):
    def cell(size, key):
        memory = Alongside(GRU(size, units, key=key), learns)
        return Chain(memory, Perceptron(size + units, 16, key=key))

    return cell


def begun(agent, learns=False, shared=True, cell=None, seed=0):
    key = jax.random.key(seed)
    return agent.init(actor_critic(agent.env, cell or beside(learns), shared, key=key), 8, key=key)


def agent(step=1e-2, **more):
    return Alternating(PPO(ENV, BPTT(), optax.adam(step), epochs=1, minibatches=1), batch=8, **more)


def test_credit_comes_to_a_memory_that_learns_from_its_readers(key):
    def of_memory(learns):
        cell = beside(learns)(3, key)
        x = jax.random.normal(key, (4, 3))

        def total(cell):
            return jnp.sum(jax.lax.scan(lambda state, x: cell(state, x), cell.initial(), x)[1])

        return jnp.abs(flat(eqx.filter_grad(total)(cell).layers[0])).max()

    assert of_memory(True) > 1e-3
    assert of_memory(False) == 0


@pytest.mark.parametrize("decay", [0.0, 0.75])
def test_what_is_read_follows_what_is_trained(decay):
    alternating = agent(decay=decay)
    before = begun(alternating)
    after, outcome = eqx.filter_jit(lambda state: alternating.update(state, 6))(before)
    old, new = (read(state.model).memory for state in (before, after))
    trained = after.optimiser.memory.model.memory
    assert jnp.abs(flat(trained) - flat(old)).max() > 1e-3
    assert jnp.allclose(flat(new), decay * flat(old) + (1 - decay) * flat(trained))
    assert {"last_surprise", "episodic_return", "losses/future"} <= set(outcome.metrics)
    assert after.optimiser.memory.updates == alternating.objective(after.model).windows(1)


def test_end_to_end_both_change_one_memory():
    """Where its readers teach it, it has moved before the passes begin."""
    alternating = agent(decay=0.5)
    state = begun(alternating, learns=True)
    moved, _ = eqx.filter_jit(lambda state: alternating.agent.update(alone(state), 6))(state)
    taught, _ = eqx.filter_jit(alternating.remember)(moved.model, state.optimiser.memory)
    after, _ = eqx.filter_jit(lambda state: alternating.update(state, 6))(state)
    before, found = flat(read(state.model).memory), flat(read(after.model).memory)
    assert jnp.array_equal(found, flat(after.optimiser.memory.model.memory))
    assert jnp.abs(flat(read(moved.model).memory) - before).max() > 1e-3
    assert jnp.allclose(found, flat(taught.model.memory))


def alone(state):
    """The state of the agent without what trains the memory."""
    return dataclasses.replace(state, optimiser=state.optimiser.agent)


def test_a_memory_and_its_policy_are_learnt_together():
    """Alone, the agent has the memory that it began with: as no credit comes to it, that stays so."""
    alternating = agent(3e-3, passes=2, decay=0.5)
    state = begun(alternating)
    state, outcome = alternating.train(state, 150, 12)
    played = episodes(ENV, state.model, jax.random.key(1), 200)
    assert jnp.mean(played.returns) > 3.5
    alone = begun(alternating.agent)
    moved, _ = alternating.agent.train(alone, 2, 12)
    assert jnp.array_equal(flat(read(moved.model).memory), flat(read(alone.model).memory))
    assert outcome.metrics["last_surprise"].mean[-1] < 2


def test_what_is_not_one_memory_is_refused():
    with pytest.raises(InputError, match="in 2 places"):
        begun(agent(), shared=False)
    with pytest.raises(InputError, match="in 0 places"):
        begun(agent(), cell=lambda size, key: GRU(size, 4, key=key))
    for name in ("window", "passes", "batch"):
        with pytest.raises(InputError, match=f"{name}=0"):
            Alternating(agent().agent, **{name: 0})
    with pytest.raises(InputError, match="would not follow"):
        agent(decay=1.0)
    with pytest.raises(InputError, match="an episode has"):
        begun(agent(choice=Surprising(100)))


def test_an_expression_says_it_all():
    config = engram.Config(
        task=None,
        env="TMaze(4)",
        agent="Alternating(PPO(epochs=1, minibatches=1), Surprising(2), window=2)",
        cell="Chain(Alongside(GRU(4)), Perceptron(8))",
        estimator="BPTT()",
        optimiser="adam(1e-3)",
        batch=2,
        length=5,
        steps=10,
        seed=0,
        seeds=1,
        shared=True,
    )
    trial = config.trial()
    state = eqx.filter_eval_shape(trial.init, jax.random.key(0))
    assert isinstance(trial.agent, Alternating)
    assert eqx.tree_equal(trial.held_out(), trial)
    assert isinstance(read(state.model), Alongside)
    assert not isinstance(read(state.model).memory, Stateless)
