"""Agents compute what their docstrings state, and learn to remember; with forward estimators, beyond the window too."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium.spaces import Discrete

from farback.acting import rollout
from farback.agents import (
    GAE,
    PPO,
    TRPO,
    ActorCriticNetwork,
    EpisodeReturn,
    ImmediateReward,
    NStep,
    OptimalBaseline,
    PolicyGradient,
    RewardToGo,
    Rollout,
)
from farback.agents.on_policy import bootstrap_value
from farback.agents.optimal_baseline import baselined
from farback.agents.ppo import PPOTargets
from farback.agents.unrolled_policy import UnrolledPolicy
from farback.cell import reset, unroll
from farback.cells import GRU, MLP, RTU, WeightNorm
from farback.envs import AbstractEnv, HighLow, Ladder, PreviousActionReward, Target, TMaze
from farback.envs.base import Feedback
from farback.estimators import BPTT, RTRL, TBPTT
from farback.estimators.base import time_major
from farback.heads import ActorCriticOutput
from farback.ops.distributions import distribution
from farback.types import InputError

pytestmark = pytest.mark.slow

NO_STEP = optax.sgd(0.0)
GRU4, RTU4 = functools.partial(GRU, size=4), functools.partial(RTU, size=4)


def make(agent, env, estimator=BPTT(), optimizer=NO_STEP, cell=GRU4, shared=False, num_envs=4, window=12, **more):
    network = ActorCriticNetwork(cell, shared_memory=shared)
    return agent(env, network, estimator, optimizer, num_envs=num_envs, window=window, **more)


def begun(agent, seed=0):
    return eqx.filter_jit(agent.init)(jax.random.key(seed))


def collect(agent, state) -> Rollout:
    """The rollout of an update, before the agent learns from it."""
    act_key, policy = jax.random.split(state.key, 3)[1], agent.policy(state.network)
    memory, envs, steps, _ = rollout(agent.env, policy, state.carry.state, state.envs, act_key, agent.window)
    return Rollout(steps, bootstrap_value(policy, memory, envs))


def flat(model):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))])


def mean(tally):
    return float(tally.total.sum() / tally.count.sum())


# PPO


@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize(("env", "length"), [(TMaze(3, extra=2), None), (Target(horizon=5), 3)], ids=["discrete", "cut"])
def test_ppo_ratio_is_one_before_the_first_step(env, length, shared):
    agent = make(PPO, env, shared=shared, epochs=2, minibatches=2, sequence_length=length)
    _, outcome = agent.train(begun(agent), 3)
    assert abs(mean(outcome.metrics["losses/approx_kl"])) < 1e-25
    assert mean(outcome.metrics["losses/clipfrac"]) == 0


def test_an_agent_acts_in_another_environment_with_the_same_spaces():
    network = ActorCriticNetwork(functools.partial(GRU, size=4))
    agent = PPO(TMaze(5), network)
    assert agent.in_env(TMaze(9)).env == TMaze(9)
    with pytest.raises(InputError, match="the agent was trained with"):
        agent.in_env(HighLow(3))


def test_ppo_ratio_control_another_memory():
    agent = make(PPO, TMaze(3, extra=2), epochs=1, minibatches=1, window=2)
    state, _ = agent.train(begun(agent), 1)
    steps = eqx.filter_jit(lambda state: collect(agent, state))(state)
    other = eqx.tree_at(lambda state: state.carry.state, state, jax.tree.map(lambda leaf: leaf + 0.1, state.carry.state))
    outcome = eqx.filter_jit(lambda state: agent.learn(state, steps, state.key).outcome)(other)
    assert mean(outcome.metrics["losses/approx_kl"]) > 1e-9


@pytest.mark.parametrize(
    ("ratio", "advantage", "policy_loss", "slope", "clipped"),
    [
        (1.5, 2.0, -2.4, 0.0, 1),  # above 1 + ε, good action: no gain beyond 1.2 · 2
        (1.5, -2.0, 3.0, 3.0, 1),  # above 1 + ε, bad action: the full cost, which pushes back
        (0.5, 2.0, -1.0, -1.0, 1),  # below 1 − ε, good action: pushes back
        (0.5, -2.0, 1.6, 0.0, 1),  # below 1 − ε, bad action: no gain beyond 0.8 · 2
        (1.1, 2.0, -2.2, -2.2, 0),  # within the range: −ρ A, with derivative −ρ A in log π
        (0.9, -2.0, 1.8, 1.8, 0),
        (1.0, 3.0, -3.0, -3.0, 0),
    ],
)
def test_ppo_clipped_loss_is_worked_by_hand(ratio, advantage, policy_loss, slope, clipped):
    """ε = 0.2, c_V = 0.5, c_H = 0.1, two actions with π(1) = 0.6, V = 1 and G = 3, weight 2."""
    agent = make(PPO, TMaze(3), clip_eps=0.2, value_coef=0.5, entropy_coef=0.1)
    old = np.log(0.6 / ratio)
    target = PPOTargets(jnp.array(1), jnp.array(old), jnp.array(advantage), jnp.array(3.0), jnp.array(2.0))

    def loss(log_prob):
        logits = jnp.stack([jnp.log1p(-jnp.exp(log_prob)), log_prob])
        return agent.loss(ActorCriticOutput(logits, jnp.array(1.0)), target)

    (total, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(jnp.log(0.6))
    entropy = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4))
    np.testing.assert_allclose(metrics["losses/policy_loss"].mean, policy_loss)
    np.testing.assert_allclose(metrics["losses/value_loss"].mean, 2.0)
    np.testing.assert_allclose(metrics["losses/entropy"].mean, entropy)
    np.testing.assert_allclose(metrics["losses/clipfrac"].mean, clipped)
    np.testing.assert_allclose(metrics["losses/approx_kl"].mean, ratio - 1 - np.log(ratio), atol=1e-12)
    np.testing.assert_allclose(total, 2 * (policy_loss + 0.5 * 2.0 - 0.1 * entropy))
    entropy_slope = -0.6 * (np.log(0.6) - np.log(0.4))
    np.testing.assert_allclose(gradient, 2 * (slope - 0.1 * entropy_slope), atol=1e-12)


# The policy gradient


@pytest.mark.parametrize(
    ("env", "cell"), [(TMaze(5, extra=2), GRU4), (PreviousActionReward(HighLow(5)), RTU4)], ids=["GRU", "RTU"]
)
def test_policy_gradient_by_rtrl_equals_bptt(env, cell):
    """At fixed parameters, over windows shorter than a rollout, and from one rollout into the next."""
    agent = make(PolicyGradient, env, RTRL(), cell=cell, entropy_coef=0.1)

    @eqx.filter_jit
    def both(state):
        steps = collect(agent, state)
        window = steps.window(agent.targets(steps))
        whole = BPTT().gradient(agent.step, state.network, state.carry, window, state.key)[0]
        carry, parts = state.carry, []
        for start in range(0, 12, 3):
            part = jax.tree.map(lambda leaf, start=start: leaf[:, start : start + 3], window)
            gradient, carry, _ = RTRL().gradient(agent.step, state.network, carry, part, state.key)
            parts.append(gradient)
        return whole, parts

    whole, parts = both(begun(agent))
    np.testing.assert_allclose(np.mean([flat(part) for part in parts], axis=0), flat(whole), rtol=1e-9, atol=1e-12)
    assert np.abs(flat(parts[1])).max() > 0


def test_policy_gradient_control_truncation_changes_it():
    agent = make(PolicyGradient, TMaze(5, extra=2))

    @eqx.filter_jit
    def both(state):
        steps = collect(agent, state)
        window = steps.window(agent.targets(steps))
        estimators = (BPTT(), TBPTT(3))
        return [one.gradient(agent.step, state.network, state.carry, window, state.key)[0] for one in estimators]

    whole, truncated = both(begun(agent))
    assert np.abs(flat(whole) - flat(truncated)).max() > 1e-6


class Investment(AbstractEnv):
    """Three steps. Action 1 costs 0.3 in the first and brings 0.2 in the second. In the third it brings 1 if the first
    action was 1 too. All 8 sequences of actions can be listed.
    """

    observation_space = Discrete(4)
    action_space = Discrete(2)
    optimum = memoryless = 0.9
    random = 0.2

    def reset(self, key):
        return jnp.zeros((), int), jnp.zeros((), int)

    def observe(self, state):
        return state[0]

    def step(self, state, action, key):
        time, invested = state
        reward = jnp.array([-0.3, 0.2, 0.0])[time] * action.astype(float)
        reward = reward + ((time == 2) & (action * invested == 1)).astype(float)
        return (time + 1, jnp.where(time == 0, action, invested)), Feedback(reward, time == 2, jnp.array(False))


ENV = Investment()


def exact_gradient(network):
    """∇ E Σ r, over all sequences of actions."""

    def expected_return(network):
        policy, total = make(PolicyGradient, ENV).policy(network), 0.0
        for actions in itertools.product((0, 1), repeat=3):
            state, copy, log_prob, reward = policy.initial(), ENV.auto_reset(jax.random.key(0)), 0.0, 0.0
            for action in actions:
                state, (output, _) = policy.outputs(state, ENV.observe(copy.state), jnp.array(False))
                log_prob = log_prob + distribution(ENV.action_space, output).log_prob(jnp.array(action))
                copy, feedback = ENV.auto_step(copy, jnp.array(action))
                reward = reward + feedback.reward
            total = total + jnp.exp(log_prob) * reward
        return total

    return eqx.filter_grad(expected_return)(network)


@functools.cache
def steep():
    """A network whose actions are far from equally likely, and whose values are far from right."""
    network = ActorCriticNetwork(GRU4)(ENV, key=jax.random.key(3))
    return jax.tree.map(lambda leaf: 3 * leaf if eqx.is_inexact_array(leaf) else leaf, network)


def sampled_gradients(psi, batches=100, batch=32):
    """Independent estimates of the gradient. The agent's loss is a mean over the 3 of 4 steps that have weight."""
    agent = make(PolicyGradient, ENV, num_envs=batch, window=4, psi=psi, gamma=1.0, value_coef=0.0)
    network = steep()

    @eqx.filter_jit
    def one(key):
        state = agent.begin(network, key)
        steps = collect(agent, state)
        window = steps.window(agent.targets(steps))
        return BPTT().gradient(agent.step, network, state.carry, window, key)[0]

    keys = jax.random.split(jax.random.key(1), batches)
    found = jax.lax.map(lambda key: jax.tree.map(lambda leaf: -3 * leaf, one(key)), keys)
    leaves = jax.tree.leaves(eqx.filter(found, eqx.is_inexact_array))
    return np.concatenate([np.reshape(leaf, (batches, -1)) for leaf in leaves], axis=1)


def z_score(psi):
    """The distance of the mean estimate from the exact gradient, in standard errors, along the exact gradient."""
    exact = flat(eqx.filter_jit(exact_gradient)(steep()))
    along = sampled_gradients(psi) @ exact / np.linalg.norm(exact) ** 2
    return abs(along.mean() - 1) / (along.std(ddof=1) / np.sqrt(len(along)))


@pytest.mark.parametrize("psi", [EpisodeReturn(), RewardToGo(), GAE()], ids=["return", "to-go", "advantage"])
def test_policy_gradient_is_unbiased(psi):
    assert z_score(psi) < 4


@pytest.mark.slow
@pytest.mark.parametrize("psi", [ImmediateReward(), NStep(1)], ids=["immediate", "one-step"])
def test_policy_gradient_control_ignoring_later_rewards_is_biased(psi):
    assert z_score(psi) > 6


def test_optimal_baseline_is_that_of_a_plain_loop(key):
    agent = make(OptimalBaseline, ENV, num_envs=5, window=4, gamma=1.0)
    network = steep()

    def scores(state, window):
        """∇ log π of each step, divided by the number of weighted steps; axes [batch, time, parameters]."""

        def log_probs(vector, memory, window):
            network = eqx.combine(unflatten(vector), static)
            features = jax.vmap(jax.vmap(network.encoder))(window.inputs)
            output = unroll(network.memory, memory, window.first, features, jnp.ones(window.first.shape))[1]
            policy = jax.vmap(jax.vmap(network.head))(output).policy
            each = jax.vmap(jax.vmap(lambda output, action: distribution(ENV.action_space, output).log_prob(action)))
            return each(policy, window.targets.action)[:, 0] * window.targets.weight[:, 0] / len(window.first)

        parameters, static = eqx.partition(network, eqx.is_inexact_array)
        vector, unflatten = jax.flatten_util.ravel_pytree(parameters)

        def one(memory, window):
            memory, window = jax.tree.map(lambda leaf: leaf[None], (memory, window))
            return jax.jacrev(log_probs)(vector, memory, time_major(window))

        return jax.vmap(one)(state.carry.state, window)

    @eqx.filter_jit
    def both(key):
        state = agent.begin(network, key)
        steps = collect(agent, state)
        window = steps.window(agent.targets(steps))
        sums = jax.vmap(lambda *one: agent.sums(network, *one))(state.carry, window, jax.random.split(key, 5))
        ours = jax.tree.map(lambda *each: jnp.mean(baselined(*each), axis=0), *sums)
        return jax.flatten_util.ravel_pytree(ours)[0], scores(state, window), window.targets.psi

    ours, g, returns = map(np.asarray, both(key))
    plain, without = np.zeros(g.shape[-1]), np.zeros(g.shape[-1])
    for one in range(5):
        others = [other for other in range(5) if other != one]
        top, bottom = np.einsum("bt,btp->p", returns[others], g[others] ** 2), np.sum(g[others] ** 2, axis=(0, 1))
        baseline = top / np.where(bottom > 0, bottom, 1)
        plain += np.einsum("tp,tp->p", returns[one][:, None] - baseline, g[one]) / 5
        without += returns[one] @ g[one] / 5
    np.testing.assert_allclose(ours, plain, rtol=1e-8, atol=1e-12)
    assert np.abs(without - plain).max() > 1e-3


# TRPO


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("cell", [GRU4, RTU4], ids=["GRU", "RTU"])
def test_trpo_fisher_products_equal_the_hessian_of_the_divergence(cell, kind):
    env = TMaze(3, extra=2) if kind == "discrete" else Target(horizon=5)
    agent = make(TRPO, env, cell=cell, num_envs=2, window=7)

    @eqx.filter_jit
    def both(state):
        steps = collect(agent, state)
        window = time_major(steps.window(agent.targets(steps)))
        here, static = eqx.partition(state.network.policy, eqx.is_inexact_array)
        unrolled = UnrolledPolicy(env, static, state.carry.state[0], window)
        old, fisher = unrolled.fisher(here)
        vector, unflatten = jax.flatten_util.ravel_pytree(here)

        def outputs(vector):
            """Runs step by step, which also has forward derivatives."""
            policy = eqx.combine(unflatten(vector), static)

            def one(memory, now):
                def step(memory, first, seen):
                    memory, output = policy.memory(reset(policy.memory, memory, first), policy.encoder(seen))
                    return memory, policy.head(output)

                return jax.vmap(step)(memory, *now)

            return jax.lax.scan(one, unrolled.memory, (window.first, window.inputs))[1]

        dense = jax.hessian(lambda vector: unrolled.divergence(old, outputs(vector)))(vector)
        direction = jnp.sin(jnp.arange(len(vector), dtype=float))
        return jax.flatten_util.ravel_pytree(fisher(unflatten(direction)))[0], dense @ direction

    ours, dense = both(begun(agent))
    np.testing.assert_allclose(ours, dense, rtol=1e-7, atol=1e-12)
    assert np.abs(dense).max() > 1e-6


def test_trpo_step_uses_its_bound_and_stays_within():
    agent = make(TRPO, TMaze(3, extra=2), optimizer=optax.sgd(0.1), max_kl=1e-3, damping=0.0, cg_iterations=40)
    _, outcome = agent.train(begun(agent), 1)
    assert 0.3e-3 < mean(outcome.metrics["losses/approx_kl"]) <= 1e-3
    assert mean(outcome.metrics["losses/policy_loss"]) < 0
    assert mean(outcome.metrics["losses/line_search_failed"]) == 0


# Learning


@pytest.fixture
def single():
    """float32 and standard promotion, as users have them."""
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


def learnt(agent, updates, parts=2):
    """The mean return of the last part of a training."""
    state, outcome = begun(agent), None
    for _ in range(parts):
        state, outcome = agent.train(state, updates)
    return mean(outcome.metrics["episodic_return"])


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("agent", [PPO, TRPO])
def test_agents_without_memory_reach_the_optimum_of_ladder(agent):
    env = Ladder(4, cost=0.1, horizon=12)
    cell = functools.partial(MLP, size=16)
    made = make(agent, env, optimizer=optax.adam(1e-2), cell=cell, num_envs=16, window=32)
    assert learnt(made, 30) > env.optimum - 0.05


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize(("agent", "updates"), [(PolicyGradient, 120), (PPO, 30)])
def test_agents_learn_to_remember(agent, updates):
    env = TMaze(6)
    cell = functools.partial(GRU, size=16)
    made = make(agent, env, optimizer=optax.adam(5e-3), cell=cell, num_envs=16, window=28, entropy_coef=0.01)
    assert learnt(made, updates) > env.memoryless + 0.7 * (env.optimum - env.memoryless)


@pytest.mark.slow
@pytest.mark.usefixtures("single")
def test_agents_past_the_window_learn_with_forward_estimators_alone():
    env, cell = TMaze(16, noise=False), functools.partial(RTU, size=8)

    def found(estimator):
        more = {"num_envs": 32, "window": 2, "psi": GAE(0.9), "entropy_coef": 0.01}
        return learnt(make(PolicyGradient, env, estimator, optax.adam(5e-3), cell, **more), 600)

    half = env.memoryless + 0.5 * (env.optimum - env.memoryless)
    assert found(RTRL()) > half
    assert found(TBPTT(2)) < half


# Refusals


def trained(agent):
    return agent.train(begun(agent), 1)


@pytest.mark.parametrize(
    ("make_one", "message"),
    [
        (lambda: make(PolicyGradient, ENV, gamma=1.1), "gamma"),
        (lambda: make(PolicyGradient, ENV, num_envs=0), "num_envs=0"),
        (lambda: make(PolicyGradient, ENV, window=0), "window=0"),
        (lambda: GAE(1.5), "lam=1.5"),
        (lambda: NStep(0), "count >= 1"),
        (lambda: make(PPO, ENV, epochs=0), "epochs=0"),
        (lambda: make(PPO, ENV, gae_lambda=-1.0), "gae_lambda=-1"),
        (lambda: make(PPO, ENV, clip_eps=0.0), "clip_eps > 0"),
        (lambda: make(PPO, ENV, minibatches=3), "minibatches=3.*4 sequences"),
        (lambda: make(PPO, ENV, sequence_length=5), "sequence_length=5.*window=12"),
        (lambda: make(TRPO, ENV, max_kl=0.0), "max_kl > 0"),
        (lambda: make(TRPO, ENV, gae_lambda=1.1), "gae_lambda=1.1"),
        (lambda: make(TRPO, ENV, value_updates=0), "value_updates=0"),
        (lambda: begun(make(TRPO, ENV, shared=True)), "separate memories"),
        (lambda: make(OptimalBaseline, ENV, num_envs=1), "num_envs >= 2"),
        (lambda: make(PolicyGradient, ENV).begin(None, jax.random.key(0)), "NoneType is not a network"),
        (lambda: trained(make(PolicyGradient, ENV, TBPTT(3), window=8)), "multiple of 3"),
    ],
)
def test_agents_refuse_impossible_arguments(make_one, message):
    with pytest.raises(InputError, match=message):
        make_one()


def test_heads_of_a_weight_norm_memory_are_normalised(key):
    def network(wrap):
        maker = ActorCriticNetwork(lambda size, *, key: wrap(GRU(size, 4, key=key)))
        return maker(TMaze(5), key=key)

    def output(network):
        return make(PolicyGradient, TMaze(5)).policy(network).outputs(network.memory.initial(), jnp.ones(3), True)

    plain, normalised = network(lambda cell: cell), network(WeightNorm)
    for ours, theirs in zip(jax.tree.leaves(output(normalised)), jax.tree.leaves(output(plain)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    for head, weight in (
        (normalised.policy.head, lambda head: head.linear.linear.weight),
        (normalised.value.head, lambda head: head.linear.weight),
    ):
        longer = eqx.tree_at(weight, head, replace_fn=lambda weight: 3 * weight)
        np.testing.assert_allclose(longer(jnp.ones(4)), head(jnp.ones(4)), rtol=1e-6)
