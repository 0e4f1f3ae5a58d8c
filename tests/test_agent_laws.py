"""The table of agents x laws: a new agent is one line in it, and is tested by every law."""

import dataclasses
import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium.spaces import Box, Discrete
from states import arrays, identical, restored
from tiers import slow_except
from tiny_envs import Parts, Picture

from farback import encoders
from farback.acting import rollout
from farback.agents import (
    DAU,
    DDPG,
    DQN,
    GAE,
    PPO,
    SAC,
    TRPO,
    AbstractAgent,
    AbstractOnPolicyAgent,
    ActorCriticNetwork,
    DAUNetwork,
    DDPGNetwork,
    EpisodeReturn,
    EpsilonGreedy,
    GaussianNoise,
    ImmediateReward,
    MemoryActorCritic,
    MemoryActorCriticNetwork,
    NStep,
    OptimalBaseline,
    PolicyGradient,
    QNetwork,
    RewardToGo,
    SACNetwork,
)
from farback.cells import GRU, MLP, RTU, Chain, Frozen, FrozenEncoder, SkipConcat
from farback.encoders import Conv, DictEncoder, Normalize
from farback.envs import HighLow, Hill, Ladder, PreviousActionReward, Pusher, Target, TMaze
from farback.estimators import BPTT, RTRL
from farback.estimators.base import time_major
from farback.evolution import CMAES, ActionNetwork, OpenAIES
from farback.memup import MemUPAgent
from farback.network import NetworkStep
from farback.ops.distributions import distribution
from farback.ops.schedules import LinearSchedule
from farback.types import InputError, Tally, Window

MAZE, NO_STEP = TMaze(2, noise=False), optax.sgd(0.0)
GRU8, RTU8, MLP16 = functools.partial(GRU, size=8), functools.partial(RTU, size=8), functools.partial(MLP, size=16)
CONV = functools.partial(Conv, channels=(4,), kernel=3, stride=2)
MLP8 = functools.partial(encoders.MLP, size=8, layers=1)


def reader(size, *, key):
    return Chain(SkipConcat(GRU(size, 8, key=key)), MLP(size + 8, 16, key=key))


def frozen(size, *, key):
    """A memory with fixed parameters, like a pretrained one."""
    return Frozen(GRU(size, 16, key=key))


def pictures(space, *, key):
    return DictEncoder(space, {"image": CONV, "number": Normalize}, key=key)


def fixed(space, *, key):
    """An encoder with fixed parameters, like a pretrained one."""
    return FrozenEncoder(CONV(space, key=key))


def make(agent, env=MAZE, cell=GRU8, estimator=BPTT(), window=9, shared=False, encoder=None, memory=None, **more):
    network = ActorCriticNetwork(cell, encoder, memory, shared)
    return agent(env, network, estimator, optax.adam(1e-2), num_envs=8, window=window, **more)


def make_dqn(env=MAZE, cell=GRU8, encoder=None, quantiles=1, window=9, sequence_length=9, **more):
    network = QNetwork(cell, encoder, dueling=quantiles > 1, quantiles=quantiles)
    sizes = {"num_envs": 8, "window": window, "sequence_length": sequence_length, "buffer_size": 4_000, "batch_size": 16}
    explore = EpsilonGreedy(LinearSchedule(1.0, 0.1, 60))
    return DQN(env, network, optimizer=optax.adam(1e-2), exploration=explore, learning_starts=144, **(sizes | more))


def make_box(agent, network, env=HighLow(3), cell=GRU8, window=4, sequence_length=3, **more):
    sizes = {"num_envs": 8, "window": window, "sequence_length": sequence_length, "buffer_size": 4_000, "batch_size": 16}
    optimizers = {"optimizer": optax.adam(1e-2), "policy_optimizer": optax.adam(3e-3), "learning_starts": 64}
    return agent(env, network(cell, critic_size=16), gradient_steps=4, **(sizes | optimizers | more))


def make_dau(env, cell, encoder=None, **more):
    network = DAUNetwork(cell, encoder, advantage_size=16)
    sizes = {"num_envs": 8, "window": 10, "buffer_size": 4_000, "batch_size": 32, "learning_starts": 80}
    return DAU(env, network, gradient_steps=10, **(sizes | more))


def make_evolution(agent, env=MAZE, cell=GRU8, **more):
    return agent(env, ActionNetwork(cell), population=32, episodes=8, **more)


NOT_ITS_ACTIONS = r"The actions of the network are .*, and those of"
RETURNS = {"best_return", "population_return"}
POLICY, VALUE = {"losses/policy_loss", "losses/entropy"}, {"losses/value_loss", "losses/explained_variance"}
TD, CRITIC = {"losses/td_error", "charts/q_values"}, {"losses/policy_loss", "losses/value_loss", "charts/q_values"}


class Row(NamedTuple):
    """An agent, the mean return that it reaches in a number of updates, its own metrics, and its error of a wrong head."""

    agent: AbstractAgent
    reaches: float = 2.25  # half way from a policy without memory to the optimum of the maze
    updates: int = 150
    metrics: set[str] = POLICY | VALUE
    refuses: str = r"The policy's output is .* but the action space"


PPO2 = functools.partial(PPO, epochs=2, minibatches=2)
TUNE = LinearSchedule(0.05, 0.0, 50)
NOT_A_BOX = r"continuous actions between bounds|The policy's output is"
NOT_DISCRETE = r"The network's output is .* but DQN needs|not Discrete"
MEMUP = functools.partial(MemUPAgent, agent=PPO2, memory_window=1, batch_size=8)
AGENTS = {
    "PG-return": Row(make(PolicyGradient, psi=EpisodeReturn())),
    "PG-to-go": Row(make(PolicyGradient, psi=RewardToGo(), encoder=MLP8)),
    "PG-GAE": Row(make(PolicyGradient, psi=GAE(0.9), entropy_coef=TUNE)),
    "PG-n-step": Row(make(PolicyGradient, Ladder(2, horizon=4), MLP16, psi=NStep(2), shared=True), 0.75),
    "PG-immediate": Row(make(PolicyGradient, Parts(), MLP16, psi=ImmediateReward()), 0.9),
    "PG-RTRL": Row(make(PolicyGradient, cell=RTU8, estimator=RTRL(), window=3, shared=True), updates=400),
    "PPO": Row(make(PPO2)),
    "PPO-shared-previous": Row(make(PPO2, PreviousActionReward(MAZE), shared=True)),
    "PPO-sequences": Row(make(PPO2, sequence_length=3)),
    "PPO-schedules": Row(make(PPO2, gamma=LinearSchedule(0.5, 1.0, 20), entropy_coef=TUNE, encoder=MLP8)),
    "PPO-RTRL": Row(make(PPO2, cell=RTU8, estimator=RTRL())),
    "PPO-image": Row(make(PPO2, Picture(), encoder=CONV), 0.75),
    "PPO-dict": Row(make(PPO2, Parts(), MLP16, encoder=pictures), 0.9),
    "PPO-frozen": Row(make(PPO2, cell=MLP16, memory=frozen, shared=True)),
    "PPO-continuous-RTRL": Row(make(PPO2, Target(horizon=4), RTU8, RTRL(exact_encoder=False), encoder=MLP8), 0.9),
    "TRPO": Row(make(TRPO)),
    "TRPO-image-frozen": Row(make(TRPO, Picture(), MLP16, encoder=CONV, memory=frozen), 0.7),
    "OptimalBaseline": Row(make(OptimalBaseline), metrics=POLICY),
    "MemUPAgent": Row(make(MEMUP, cell=reader, shared=True)),
    "MemUPAgent-image": Row(make(MEMUP, Picture(), reader, encoder=fixed, shared=True, passes=2), 0.75),
    "DQN": Row(make_dqn(), metrics=TD, refuses=NOT_DISCRETE),
    "DQN-image": Row(make_dqn(Picture(), encoder=CONV, sequence_length=3), 0.75, metrics=TD, refuses=NOT_DISCRETE),
    "QR-DQN-R2D2": Row(
        make_dqn(quantiles=8, prioritized=True, burn_in=2, n_step=3, sequence_length=5, value_rescaling=True),
        metrics=TD,
        refuses=NOT_DISCRETE,
    ),
}
AGENTS |= {
    "DDPG": Row(make_box(DDPG, DDPGNetwork, exploration=GaussianNoise(0.3)), 0.6, metrics=CRITIC, refuses=NOT_A_BOX),
    "TD3": Row(
        make_box(DDPG, functools.partial(DDPGNetwork, critics=2), policy_period=2, smoothing_std=0.2, n_step=2),
        0.6,
        metrics=CRITIC,
        refuses=NOT_A_BOX,
    ),
    "SAC": Row(make_box(SAC, SACNetwork), 0.6, metrics=CRITIC | {"losses/entropy", "charts/alpha"}, refuses=NOT_A_BOX),
    "SAC-shared-prioritized": Row(
        make_box(SAC, functools.partial(SACNetwork, shared_memory=True), prioritized=True, burn_in=1),
        0.6,
        metrics=CRITIC | {"losses/entropy", "charts/alpha"},
        refuses=NOT_A_BOX,
    ),
}
AGENTS["MemoryActorCritic"] = Row(
    make_box(
        MemoryActorCritic,
        lambda cell, critic_size: MemoryActorCriticNetwork(cell, first_size=32, second_size=critic_size),
        write_optimizer=optax.adam(1e-3),
        exploration=GaussianNoise(0.3),
        sequence_length=2,
        within_episodes=True,
    ),
    0.6,
    metrics=CRITIC | {"losses/bellman_error"},
    refuses=r"continuous actions between bounds|MemoryPolicyQ is no network of a policy of 1 actions",
)
ADVANTAGE = {"losses/td_error", "charts/values", "charts/advantages"}
AGENTS |= {
    "DAU-recurrent": Row(
        make_dau(Hill(seconds=3.0), GRU8, sequence_length=3, burn_in=1, target_rate=0.1),
        1.5,
        metrics=ADVANTAGE,
        refuses=r"The network's output is .* but DAU needs|continuous actions between bounds",
    ),
    "DAU-continuous": Row(
        make_dau(Pusher(seconds=3.0), MLP16, Normalize),
        2.0,
        metrics=ADVANTAGE | {"losses/policy_loss"},
        refuses=r"The network's output is .* but DAU needs|not Discrete",
    ),
}
AGENTS |= {
    "CMA-ES": Row(
        make_evolution(CMAES, initial_scale=0.5), 3.5, metrics=RETURNS | {"scale", "axis_ratio"}, refuses=NOT_ITS_ACTIONS
    ),
    "OpenAI-ES": Row(
        make_evolution(OpenAIES, Target(horizon=4), MLP16, optimizer=optax.adam(3e-2)),
        0.9,
        metrics=RETURNS | {"losses/grad_norm"},
        refuses=NOT_ITS_ACTIONS,
    ),
}
ON_POLICY = [name for name, row in AGENTS.items() if isinstance(row.agent, AbstractOnPolicyAgent | MemUPAgent)]


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


EACH = (
    "PG-GAE",
    "PPO",
    "TRPO",
    "OptimalBaseline",
    "MemUPAgent",
    "DQN",
    "DDPG",
    "SAC",
    "MemoryActorCritic",
    "DAU-recurrent",
    "CMA-ES",
)
laws = pytest.mark.parametrize(
    "name", slow_except(["PPO", "DQN"], AGENTS), scope="module"
)  # all laws of an agent follow each other


@functools.lru_cache(maxsize=1)
def compiled(name):
    """One update of an agent, compiled once for all laws."""
    return eqx.filter_jit(AGENTS[name].agent.update)


def run(name, state, updates):
    outcomes = []
    for _ in range(updates):
        state, outcome = compiled(name)(state)
        outcomes.append(outcome)
    return state, outcomes


@functools.lru_cache(maxsize=2)
def start(name, seed=0):
    return eqx.filter_jit(AGENTS[name].agent.init)(jax.random.key(seed))


@laws
def test_agent_resumes_bit_for_bit(name):
    whole, _ = run(name, start(name), 4)
    half, _ = run(name, start(name), 2)
    assert identical(run(name, restored(half), 2)[0], whole)


def test_agent_resume_control_lost_environments():
    half, _ = run("PPO", start("PPO"), 2)
    lost = eqx.tree_at(lambda state: state.envs, half, start("PPO").envs)
    assert not identical(run("PPO", lost, 2)[0].network, run("PPO", half, 2)[0].network)


@pytest.mark.parametrize("name", slow_except(["PPO", "DQN"], EACH))
def test_agent_seeds_are_independent(name):
    agent, seeds = AGENTS[name].agent, [start(name, 0), start(name, 1)]
    static = eqx.filter(seeds[0], eqx.is_array, inverse=True)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(eqx.filter(state, eqx.is_array) for state in seeds))

    @jax.jit
    @jax.vmap
    def update(dynamic):
        return eqx.filter(agent.update(eqx.combine(dynamic, static))[0], eqx.is_array)

    together = update(stacked)
    alone = [arrays(run(name, state, 1)[0]) for state in seeds]
    for index, found in enumerate(alone):
        for one, other in zip(found, arrays(jax.tree.map(lambda leaf, index=index: leaf[index], together)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)
    assert not all(np.allclose(one, other) for one, other in zip(*alone, strict=True)), "control: seeds differ"


@laws
def test_agent_stays_finite_and_reports_its_metrics(name):
    state, outcomes = run(name, start(name), 3)
    row = AGENTS[name]
    assert all(np.isfinite(leaf).all() for leaf in arrays(state) if leaf.dtype.kind == "f")
    for outcome in outcomes:
        assert np.isfinite(outcome.loss)
        assert all(np.isfinite(tally.total) and np.isfinite(tally.count) for tally in outcome.metrics.values())
    metrics = outcomes[-1].metrics
    assert row.metrics | {"episodic_return", "episodic_length"} <= set(metrics)
    assert not ((POLICY | VALUE | TD | CRITIC) - row.metrics) & set(metrics)
    assert isinstance(row.agent, CMAES) or metrics["losses/grad_norm"].mean > 0


def mean_return(outcomes):
    tallies = [outcome.metrics["episodic_return"] for outcome in outcomes]
    return sum(float(tally.total) for tally in tallies) / sum(float(tally.count) for tally in tallies)


@laws
def test_agent_learns_a_small_chain(name):
    row = AGENTS[name]
    _, outcomes = run(name, start(name), row.updates)
    assert mean_return(outcomes[:5]) < row.reaches, "there is something to learn"
    assert mean_return(outcomes[-20:]) > row.reaches


def test_agent_learning_control_no_step():
    agent = dataclasses.replace(AGENTS["PPO"].agent, optimizer=NO_STEP)
    state, outcomes, update = agent.init(jax.random.key(0)), [], eqx.filter_jit(agent.update)
    for _ in range(40):
        state, outcome = update(state)
        outcomes.append(outcome)
    assert mean_return(outcomes[-20:]) < 2.25


@laws
@pytest.mark.parametrize("actions", [Discrete(5), Box(-1, 1, (3,))], ids=["discrete", "continuous"])
def test_agent_refuses_a_head_that_does_not_fit(name, actions):
    agent = AGENTS[name].agent

    class Other(type(agent.env)):
        action_space = actions

    other = object.__new__(Other)
    for field in dataclasses.fields(agent.env):
        object.__setattr__(other, field.name, getattr(agent.env, field.name))
    wrong = dataclasses.replace(agent, network=lambda env, *, key: agent.network(other, key=key))
    with pytest.raises(InputError, match=AGENTS[name].refuses):
        wrong.init(jax.random.key(0))


def replay_errors(agent):
    """Returns a function of a state and a shift of the parameters. It compares a replay of a rollout with the outputs of
    the acting policy, and gives the largest error of the ratio and of the value.
    """

    def loss(output, target):
        action, extras = target
        log_prob = distribution(agent.env.action_space, output.policy).log_prob(action)
        return jnp.exp(log_prob - extras.log_prob) - 1, {"value": Tally(output.value - extras.value, jnp.ones(()))}

    @eqx.filter_jit
    def errors(state, shift):
        policy = agent.policy(state.network)
        _, _, steps, _ = rollout(agent.env, policy, state.carry.state, state.envs, state.key, 7)
        window = time_major(Window(steps.first, steps.observation, (steps.action, steps.extras)))
        moved = jax.tree.map(lambda leaf: leaf + shift if eqx.is_inexact_array(leaf) else leaf, state.network)
        ratio, metrics = NetworkStep(loss).unroll(moved, state.carry.state, window, jnp.ones(window.first.shape))[1]
        return jnp.stack([jnp.abs(ratio).max(), jnp.abs(metrics["value"].total).max()])

    return errors


@pytest.mark.parametrize("name", slow_except(["PPO"], ON_POLICY), scope="module")
def test_agent_ratio_is_one_on_the_first_pass(name):
    """Unrolled over a whole rollout, the network reproduces its stepwise outputs; with shifted parameters it does not."""
    agent, state = AGENTS[name].agent, run(name, start(name), 2)[0]
    if isinstance(agent, MemUPAgent):
        agent, state = agent.actor(), state.agent
    errors = replay_errors(agent)
    assert errors(state, jnp.array(0.0)).max() < 1e-10
    assert errors(state, jnp.array(0.1)).min() > 1e-3, "control"


@pytest.mark.parametrize("name", slow_except(["PPO"], ["PPO", "PPO-sequences", "PPO-RTRL"]))
def test_ppo_divergence_is_zero_without_a_step(name):
    agent = dataclasses.replace(AGENTS[name].agent, optimizer=NO_STEP)
    state, outcome = eqx.filter_jit(agent.update)(start(name))
    assert abs(outcome.metrics["losses/approx_kl"].mean) < 1e-20
    assert outcome.metrics["losses/clipfrac"].total == 0
    assert identical(state.network, start(name).network)


def test_frozen_memory_keeps_its_parameters_and_the_rest_learns():
    for name, memory in (
        ("PPO-frozen", lambda network: network.memory.layers[0]),
        ("TRPO-image-frozen", lambda network: network.policy.memory.layers[0]),
    ):
        before, after = start(name), run(name, start(name), 3)[0]
        assert identical(memory(before.network), memory(after.network))
        assert not identical(before.network, after.network)
