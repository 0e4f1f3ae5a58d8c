"""MemUPAgent: which part of the network learns from what, and that policy and memory learn together."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from tables import flat

import farback
from farback.acting import evaluate
from farback.agents import PPO, ActorCriticNetwork, PolicyGradient
from farback.cells import GRU, MLP, Chain, SkipConcat
from farback.cells.chain import Stateless
from farback.envs import TMaze
from farback.estimators import BPTT
from farback.memup import MemUPAgent, TopK
from farback.memup.memory_reader import memory_reader
from farback.types import InputError

pytestmark = pytest.mark.slow

ENV = TMaze(5)


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def reader(size, *, key, stop_gradient=True, units=8):
    return Chain(SkipConcat(GRU(size, units, key=key), stop_gradient), MLP(size + units, 16, key=key))


def make(cell=reader, rate=1e-2, shared=True, window=6, **more):
    actor = functools.partial(PPO, epochs=1, minibatches=1)
    arguments = {"num_envs": 8, "memory_window": 1, "batch_size": 8, "agent": actor} | more
    network = ActorCriticNetwork(cell, shared_memory=shared)
    return MemUPAgent(ENV, network, BPTT(), optax.adam(rate), window=window, **arguments)


def begun(agent):
    return eqx.filter_jit(agent.init)(jax.random.key(0))


def memory(state):
    """The memory that the policy reads."""
    return flat(memory_reader(state.network).memory)


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_skip_concat_passes_a_gradient_if_told_to(stop_gradient, key):
    cell = reader(3, key=key, stop_gradient=stop_gradient)
    x = jax.random.normal(key, (4, 3))

    def total(cell):
        return jnp.sum(jax.lax.scan(lambda state, x: cell(state, x), cell.initial(), x)[1])

    gradient = jnp.abs(flat(eqx.filter_grad(total)(cell).layers[0])).max()
    assert gradient == 0 if stop_gradient else gradient > 1e-3


@pytest.mark.parametrize("decay", [0.0, 0.75])
def test_memup_agent_reads_the_average_of_the_trained_memory(decay):
    agent = make(decay=decay)
    before = begun(agent)
    after, outcome = eqx.filter_jit(agent.update)(before)
    old, new, trained = memory(before.agent), memory(after.agent), flat(after.memory.network.memory)
    assert jnp.abs(trained - old).max() > 1e-3
    assert jnp.allclose(new, decay * old + (1 - decay) * trained)
    assert {"last_prediction_error", "episodic_return", "losses/target_prediction"} <= set(outcome.metrics)
    assert after.memory.updates == agent.memup(after.agent.network).windows == 5


def test_memup_agent_trains_one_memory_by_both_without_stop_gradient():
    """The policy's gradient has moved the memory before MemUP's passes begin."""
    agent = make(functools.partial(reader, stop_gradient=False), decay=0.5)
    state = begun(agent)
    moved, _ = eqx.filter_jit(agent.actor().update)(state.agent)
    trained, _ = eqx.filter_jit(agent.train_memory)(moved.network, state.memory)
    after, _ = eqx.filter_jit(agent.update)(state)
    assert jnp.array_equal(memory(after.agent), flat(after.memory.network.memory))
    assert jnp.abs(memory(moved) - memory(state.agent)).max() > 1e-3
    assert jnp.allclose(memory(after.agent), flat(trained.network.memory))


@pytest.mark.slow
def test_memup_agent_learns_memory_and_policy_together():
    """Without MemUP, the memory keeps its initial parameters, because no gradient reaches it."""
    agent = make(rate=3e-3, window=12, passes=2, decay=0.5)
    state, outcome = agent.train(begun(agent), 150)
    found = evaluate(ENV, agent.policy(agent.network_in(state)), jax.random.key(1), 200)
    assert jnp.mean(found.returns) > 3.5
    assert outcome.metrics["last_prediction_error"].mean[-1] < 2
    alone = begun(agent).agent
    moved, _ = agent.actor().train(alone, 2)
    assert jnp.array_equal(memory(moved), memory(alone))
    assert not jnp.array_equal(flat(moved.network), flat(alone.network))


def test_memup_agent_evaluates_the_policy_of_its_actor():
    agent = make()
    state = begun(agent)
    timeline = agent.timeline(agent.network_in(state), jax.random.key(0), 7)
    assert {"charts/value", "charts/reward"} == set(timeline.metrics)
    assert agent.evaluate(agent.network_in(state), jax.random.key(0), 5)["charts/episodic_return"].total.shape == (5,)


@pytest.mark.parametrize("actor", [PolicyGradient, functools.partial(PPO, sequence_length=3, minibatches=2)])
def test_memup_agent_takes_any_on_policy_agent(actor):
    _, outcome = make(agent=actor).train(begun(make(agent=actor)), 1)
    assert jnp.isfinite(outcome.loss).all()


def behind(size, *, key):
    return Chain(MLP(size, size, key=key), reader(size, key=key))


@pytest.mark.parametrize(
    ("make_one", "message"),
    [
        (lambda: begun(make(shared=False)), "in 2 places"),
        (lambda: begun(make(functools.partial(GRU, size=4))), "in 0 places"),
        (lambda: begun(make(behind)), "a layer comes before it"),
        (lambda: make(memory_window=0), "memory_window=0"),
        (lambda: make(passes=0), "passes=0"),
        (lambda: make(batch_size=0), "batch_size=0"),
        (lambda: make(agent=functools.partial(PPO, epochs=0)), "epochs=0"),
        (lambda: make(decay=1.0), "never changes"),
        (lambda: begun(make(selector=TopK(100))), "an episode has"),
    ],
)
def test_memup_agent_refuses_impossible_arguments(make_one, message):
    with pytest.raises(InputError, match=message):
        make_one()


def test_memup_agent_is_described_by_a_configuration():
    agent = farback.configure(
        "memup-agent",
        env="TMaze(4)",
        agent="PPO(epochs=1, minibatches=1)",
        selector="TopK(2)",
        memory_window=2,
        cell="Chain(SkipConcat(GRU(4)), MLP(8))",
        optimizer="adam(1e-3)",
        num_envs=2,
        window=5,
        shared_memory=True,
    ).build()
    state = eqx.filter_eval_shape(agent.init, jax.random.key(0))
    assert isinstance(agent, MemUPAgent)
    assert eqx.tree_equal(agent.split(), agent)
    assert not isinstance(memory_reader(state.agent.network).memory, Stateless)
