"""Hyper-parameters that change: at each update an algorithm has that update's numbers, and new numbers do not recompile."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from farback import PPO, ActorCriticNetwork, InputError, PolicyGradient, ReadoutNetwork, Supervised
from farback.agents import NStep
from farback.cells import GRU
from farback.envs import Ladder, TMaze
from farback.estimators import BPTT
from farback.ops.schedules import LinearSchedule, at_update, value_at, with_array_numbers
from farback.runs.optimizers import OptimizerExpression
from farback.tasks import Recall

NETWORK = ActorCriticNetwork(functools.partial(GRU, size=4))
COMMON = {"env": TMaze(2), "network": NETWORK, "optimizer": optax.sgd(1e-2), "num_envs": 4, "window": 6}
AGENTS = {
    "PPO": lambda **numbers: PPO(**COMMON, minibatches=2, **numbers),
    "policy gradient": lambda **numbers: PolicyGradient(**COMMON, psi=NStep(2), **numbers),
}


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def numbers(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))])


@eqx.filter_jit
def after(agent, updates):
    """The parameters after an update of an agent that has made a number of updates."""
    state = dataclasses.replace(eqx.filter_jit(agent.init)(jax.random.key(0)), updates=updates)
    return agent.network_in(agent.train(state, 1)[0])


@pytest.mark.parametrize("make", AGENTS.values(), ids=AGENTS)
@pytest.mark.parametrize(("updates", "gamma", "entropy_coef"), [(0, 0.5, 0.2), (5, 0.7, 0.1), (1000, 0.9, 0.0)])
def test_linear_schedule_equals_its_number_at_each_update(make, updates, gamma, entropy_coef):

    def learnt(gamma, entropy_coef):
        agent = with_array_numbers(make(gamma=gamma, entropy_coef=entropy_coef))  # other numbers do not recompile
        return numbers(after(agent, jnp.asarray(updates)))

    found = learnt(LinearSchedule(0.5, 0.9, 10), LinearSchedule(0.2, 0.0, 10))
    np.testing.assert_allclose(found, learnt(gamma, entropy_coef), rtol=1e-12)
    for other in (learnt(gamma, 4.0), learnt(0.1, entropy_coef)):
        assert np.abs(found - other).max() > 1e-7, "the gradient does not depend on the number"


def test_linear_schedule_by_hand():
    schedule = LinearSchedule(1.0, 3.0, 4)
    assert [float(schedule(jnp.asarray(updates))) for updates in (0, 1, 2, 4, 9)] == [1.0, 1.5, 2.0, 3.0, 3.0]


def test_at_update_replaces_every_schedule():
    agent = AGENTS["PPO"](gamma=LinearSchedule(0.0, 1.0, 2), entropy_coef=0.3)
    found = at_update(agent, jnp.asarray(1))
    assert value_at(found.gamma) == 0.5
    assert found.entropy_coef == 0.3
    assert found.num_envs == 4


def test_schedules_that_have_no_value_are_refused():
    with pytest.raises(InputError, match=r"LinearSchedule\(updates=0\): give updates >= 1"):
        LinearSchedule(0.0, 1.0, 0)
    with pytest.raises(InputError, match="call at_update"):
        value_at(LinearSchedule(0.0, 1.0, 10))
    with pytest.raises(InputError, match="between 0 and 1"):
        PPO(Ladder(), NETWORK, gamma=LinearSchedule(0.5, 1.1, 10))


def compiled_programs(algorithms):
    """The number of programs that updates of algorithms compile to, and the parameters after each of them."""
    parts = [eqx.partition(with_array_numbers(algorithm), eqx.is_array) for algorithm in algorithms]
    rest = parts[0][1]
    assert len({jax.tree.structure(data) for data, _ in parts}) == 1
    states = [eqx.partition(algorithm.init(jax.random.key(0)), eqx.is_array) for algorithm in algorithms]

    @jax.jit
    def update(data, arrays):
        algorithm = eqx.combine(data, rest)
        return eqx.filter(
            algorithm.network_in(algorithm.update(eqx.combine(arrays, states[0][1]))[0]), eqx.is_inexact_array
        )

    found = [numbers(update(data, arrays)) for (data, _), (arrays, _) in zip(parts, states, strict=True)]
    return update._cache_size(), found


def supervised(rate):
    network = ReadoutNetwork(functools.partial(GRU, size=4))
    return Supervised(Recall(2), network, BPTT(), OptimizerExpression(f"adam({rate})"), 2, 4)


def ppo(**changes):
    return AGENTS["PPO"](**({"gamma": 0.9, "clip_eps": 0.2} | changes))


@pytest.mark.parametrize(
    "algorithms",
    [
        [supervised(1e-2), supervised(3e-3)],
        [ppo(), ppo(gamma=0.5), ppo(gae_lambda=0.3)],
        [ppo(gamma=LinearSchedule(0.5, 0.9, 10)), ppo(gamma=LinearSchedule(0.2, 0.8, 10))],
    ],
    ids=["learning rate", "gamma", "schedule"],
)
def test_other_numbers_do_not_recompile(algorithms):
    count, found = compiled_programs(algorithms)
    assert count == 1
    for one, algorithm in zip(found, algorithms, strict=True):
        state = eqx.filter_jit(algorithm.update)(algorithm.init(jax.random.key(0)))[0]
        np.testing.assert_allclose(one, numbers(algorithm.network_in(state)), rtol=1e-9, atol=1e-12)
    assert np.abs(found[0] - found[1]).max() > 1e-7


def test_control_other_sizes_recompile():
    """A number that changes a shape is part of the program."""
    algorithms = [with_array_numbers(ppo(epochs=epochs)) for epochs in (1, 2)]
    rests = [eqx.partition(algorithm, eqx.is_array)[1] for algorithm in algorithms]
    assert not eqx.tree_equal(*rests)
    assert eqx.tree_equal(*(eqx.partition(with_array_numbers(ppo(gamma=gamma)), eqx.is_array)[1] for gamma in (0.1, 0.2)))


def test_with_array_numbers_leaves_the_task_and_the_environment_as_they_are():
    algorithm = with_array_numbers(ppo())
    assert isinstance(algorithm.gamma, jax.Array)
    assert jax.tree.leaves(algorithm.env) == jax.tree.leaves(COMMON["env"])
