"""Tabular Q-learning and SARSA: their update against hand-worked numbers, and what they learn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback.acting import Trajectory
from farback.agents import EpsilonGreedy, TabularQ
from farback.agents.tabular_q import QTable
from farback.envs import Detour, Ladder, TMaze
from farback.types import InputError

VALUES = [[1.0, 2.0], [5.0, -1.0]]


def step(observation, action, reward=0.0, terminated=False, truncated=False, last=False):
    each = {"observation": observation, "action": action, "terminated": terminated, "truncated": truncated, "last": last}
    arrays = {name: jnp.asarray([value]) for name, value in each.items()}
    return Trajectory(**arrays, first=jnp.array([False]), reward=jnp.array([reward]), extras=())


@pytest.mark.parametrize(
    ("before", "on_policy", "expected"),
    [
        ({}, False, 2 + 0.5 * (3 + 0.9 * 5 - 2)),
        ({}, True, 2 + 0.5 * (3 + 0.9 * -1 - 2)),
        ({"terminated": True}, False, 2 + 0.5 * (3 - 2)),
        ({"truncated": True}, False, 2 + 0.5 * (3 + 0.9 * 5 - 2)),
        ({"last": True}, False, 2),
    ],
    ids=["Q-learning", "SARSA", "terminated", "truncated", "last"],
)
def test_tabular_q_makes_the_update_of_the_equations(before, on_policy, expected):
    agent = TabularQ(Detour(), step_size=0.5, gamma=0.9, on_policy=on_policy)
    network = eqx.tree_at(
        lambda network: network.head, agent.network(agent.env, key=jax.random.key(0)), QTable(jnp.array(VALUES))
    )
    moved, _ = agent._learn(network, step(0, 1, reward=3.0, **before), step(1, 1))
    np.testing.assert_allclose(moved.head.values, [[1.0, expected], [5.0, -1.0]])


def learnt(agent, updates):
    state = eqx.filter_jit(agent.init)(jax.random.key(0))
    return np.asarray(agent.train(state, updates)[0].network.head.values)


def test_q_learning_finds_the_values_of_a_ladder():
    """V(rung i) = γ^(n−1−i) − c Σ_{j<n−i} γ^j, whatever the exploration is."""
    agent = TabularQ(Ladder(3, horizon=12), step_size=0.2, gamma=0.9, exploration=EpsilonGreedy(0.5), num_envs=4)
    values = [0.9 ** (2 - rung) - 0.1 * sum(0.9**j for j in range(3 - rung)) for rung in range(3)]
    np.testing.assert_allclose(learnt(agent, 60)[:3, 1], values, atol=0.02)


def test_sarsa_finds_the_values_of_its_exploration():
    """Those of random actions, which are below those of the best policy, which Q-learning finds from the same actions."""
    gamma, kwargs = 0.8, {"step_size": 0.05, "exploration": EpsilonGreedy(1.0)}
    sarsa, q_learning = (TabularQ(Detour(), gamma=gamma, on_policy=flag, **kwargs) for flag in (True, False))
    home = (0.5 + 1.5 * gamma) / (1 - gamma / 2 - gamma**2 / 2)  # V = (1 + γ V)/2 + γ V'/2 and V' = 3 + γ V
    away = 3 + gamma * home
    np.testing.assert_allclose(learnt(sarsa, 100), [[1 + gamma * home, gamma * away], [away, away]], atol=0.2)
    best = 3 / (1 - gamma**2)  # V' = 3 + γ V and V = γ V'
    np.testing.assert_allclose(learnt(q_learning, 100), [[1 + gamma**2 * best, gamma * best], [best, best]], atol=0.02)


@pytest.mark.parametrize(("gamma", "leaves"), [(0.4, False), (0.6, True)])
def test_the_best_policy_depends_on_the_discount(gamma, leaves):
    values = learnt(TabularQ(Detour(), gamma=gamma, exploration=EpsilonGreedy(0.5)), 100)
    assert (values[0, 1] > values[0, 0]) == leaves


def test_bad_arguments_are_refused():
    with pytest.raises(InputError, match="give 0 < step_size <= 1"):
        TabularQ(Detour(), step_size=0.0)
    with pytest.raises(InputError, match="give reward > 2"):
        Detour(reward=1.0)
    with pytest.raises(InputError, match="not Discrete from 0 on"):
        TabularQ(TMaze(3)).init(jax.random.key(0))
