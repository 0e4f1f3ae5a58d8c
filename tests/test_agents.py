"""Agents: what they charge is what their docstrings say, and they learn what they should, past the window too."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium.spaces import Discrete

import engram
from engram import (
    BPTT,
    GRU,
    PPO,
    RTRL,
    RTU,
    TBPTT,
    TRPO,
    InputError,
    Ladder,
    PolicyGradient,
    TMaze,
    WeightNorm,
    actor_critic,
)
from engram.agents import Advantage, Immediate, LookAhead, OptimalBaseline, Played, ToGo, Whole
from engram.agents.acting import next_value, rollout
from engram.agents.distributions import distribution
from engram.agents.optimal_baseline import least_noisy
from engram.agents.trpo import Replay
from engram.cell import reset, unroll
from engram.envs import Feedback, HighLow, Previous, Target
from engram.envs.spaces import width
from engram.estimators.base import time_major
from engram.types import Outcome

STILL = optax.sgd(0.0)


def gru(size, key):
    return GRU(size, 4, key=key)


def rtu(size, key):
    return RTU(size, 4, key=key)


def begun(agent, batch=4, cell=gru, shared=False, seed=0):
    model_key, key = jax.random.split(jax.random.key(seed))
    return agent.init(actor_critic(agent.env, cell, shared, key=model_key), batch, key=key)


def played(agent, state, length):
    keys = jax.random.split(state.key, 3)
    memory, playing, steps, _ = rollout(agent.env, state.model, state.carry.state, state.playing, keys[1], length)
    return Played(steps, next_value(agent.env, state.model, memory, playing))


def flat(model):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))])


def mean(tally):
    return float(tally.total.sum() / tally.count.sum())


@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize(("env", "chunk"), [(TMaze(3, extra=2), None), (Target(horizon=5), 3)], ids=["discrete", "chunks"])
def test_before_the_policy_moves_its_ratio_is_one(env, chunk, shared):
    agent = PPO(env, BPTT(), STILL, epochs=2, minibatches=2, chunk=chunk)
    _, outcome = agent.train(begun(agent, shared=shared), 3, 12)
    assert abs(mean(outcome.metrics["losses/divergence"])) < 1e-25
    assert mean(outcome.metrics["losses/clipped"]) == 0


def test_control_a_memory_from_elsewhere_moves_the_ratio():
    agent = PPO(TMaze(3, extra=2), BPTT(), STILL, epochs=1, minibatches=1)
    state, _ = agent.train(begun(agent), 1, 2)
    steps = eqx.filter_jit(lambda state: played(agent, state, 12))(state)
    other = eqx.tree_at(lambda state: state.carry.state, state, jax.tree.map(lambda leaf: leaf + 0.1, state.carry.state))
    outcome = eqx.filter_jit(lambda state: agent.learn(state, steps, state.key)[-1])(other)
    assert mean(outcome.metrics["losses/divergence"]) > 1e-9


@pytest.mark.parametrize(("env", "cell"), [(TMaze(5, extra=2), gru), (Previous(HighLow(5)), rtu)], ids=["GRU", "RTU"])
def test_the_policy_gradient_by_rtrl_is_that_by_bptt(env, cell):
    """At frozen parameters, over windows that are shorter than a rollout, and from one rollout into the next."""
    agent = PolicyGradient(env, RTRL(), STILL, entropy_cost=0.1)
    state = begun(agent, cell=cell)

    @eqx.filter_jit
    def both(state):
        steps = played(agent, state, 12)
        window = steps.window(agent.targets(steps))
        whole = BPTT().gradient(agent.step, state.model, state.carry, window, state.key)[0]
        carry, parts = state.carry, []
        for start in range(0, 12, 3):
            part = jax.tree.map(lambda leaf, start=start: leaf[:, start : start + 3], window)
            gradient, carry, _ = RTRL().gradient(agent.step, state.model, carry, part, state.key)
            parts.append(gradient)
        return whole, parts

    whole, parts = both(state)
    np.testing.assert_allclose(np.mean([flat(part) for part in parts], axis=0), flat(whole), rtol=1e-9, atol=1e-12)
    assert np.abs(flat(parts[1])).max() > 0


def test_control_truncated_to_a_window_it_is_another():
    agent = PolicyGradient(TMaze(5, extra=2), BPTT(), STILL)
    state = begun(agent)

    @eqx.filter_jit
    def both(state):
        steps = played(agent, state, 12)
        window = steps.window(agent.targets(steps))
        ways = (BPTT(), TBPTT(3))
        return [way.gradient(agent.step, state.model, state.carry, window, state.key)[0] for way in ways]

    whole, cut = both(state)
    assert np.abs(flat(whole) - flat(cut)).max() > 1e-6


class Investment(engram.AbstractEnv):
    """Three steps: acting costs 0.3 in the first, brings 0.2 in the second, and 1 in the third to those who acted in the
    first. All of its 8 plays can be listed.
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
        time, began = state
        reward = jnp.array([-0.3, 0.2, 0.0])[time] * action.astype(float) + ((time == 2) & (action * began == 1)).astype(
            float
        )
        return (time + 1, jnp.where(time == 0, action, began)), Feedback(reward, time == 2, jnp.array(False))


ENV = Investment()


def exact_gradient(model):
    """∇ E Σ r, over all plays."""

    def worth(model):
        total = 0.0
        for actions in itertools.product((0, 1), repeat=3):
            state, play, chance, reward = model.initial(), ENV.begin(jax.random.key(0)), 0.0, 0.0
            for action in actions:
                seen = engram.envs.spaces.flat(ENV.observation_space, ENV.observe(play.state))
                state, (policy, _) = model(state, seen)
                chance = chance + distribution(ENV.action_space, policy).log_prob(jnp.array(action))
                play, feedback = ENV.act(play, jnp.array(action))
                reward = reward + feedback.reward
            total = total + jnp.exp(chance) * reward
        return total

    return eqx.filter_grad(worth)(model)


@functools.cache
def steep():
    """A model whose actions are far from equally likely, and whose values are far from right."""
    model = actor_critic(ENV, gru, key=jax.random.key(3))
    return jax.tree.map(lambda leaf: 3 * leaf if eqx.is_inexact_array(leaf) else leaf, model)


def sampled_gradients(psi, batches=100, batch=32):
    """Many estimates of the same, as the agent has them: of 3 acted steps of 4, by a mean over the acted ones."""
    agent = PolicyGradient(ENV, BPTT(), STILL, psi, gamma=1.0, value_cost=0.0)
    model = steep()

    @eqx.filter_jit
    def one(key):
        state = agent.init(model, batch, key=key)
        steps = played(agent, state, 4)
        window = steps.window(agent.targets(steps))
        return BPTT().gradient(agent.step, model, state.carry, window, key)[0]

    found = jax.lax.map(
        lambda key: jax.tree.map(lambda leaf: -3 * leaf, one(key)), jax.random.split(jax.random.key(1), batches)
    )
    leaves = jax.tree.leaves(eqx.filter(found, eqx.is_inexact_array))
    return np.concatenate([np.reshape(leaf, (batches, -1)) for leaf in leaves], axis=1)


def z_of(psi):
    """How far the mean of the estimates is from the truth, in standard errors, along the truth itself."""
    exact = flat(eqx.filter_jit(exact_gradient)(steep()))
    along = sampled_gradients(psi) @ exact / np.linalg.norm(exact) ** 2
    return abs(along.mean() - 1) / (along.std(ddof=1) / np.sqrt(len(along)))


@pytest.mark.parametrize("psi", [Whole(), ToGo(), Advantage()], ids=["whole", "to go", "advantage"])
def test_the_policy_gradient_is_unbiased(psi):
    assert z_of(psi) < 4


@pytest.mark.parametrize("psi", [Immediate(), LookAhead(1)], ids=["immediate", "look ahead"])
def test_control_what_forgets_what_comes_later_is_not(psi):
    assert z_of(psi) > 6


def test_the_optimal_baseline_is_that_of_a_plain_loop(key):
    agent = OptimalBaseline(ENV, BPTT(), STILL, gamma=1.0)
    model = steep()

    def scores(state, window):
        """∇ log π of each step, divided as a mean over the acted steps is: axes [batch, time, parameters]."""

        def log_probs(vector, memory, window):
            model = eqx.combine(unflatten(vector), static)
            _, (policy, _) = unroll(model, memory, window.first, window.inputs, jnp.ones(window.first.shape))
            each = jax.vmap(jax.vmap(lambda output, action: distribution(ENV.action_space, output).log_prob(action)))
            return each(policy, window.targets.action)[:, 0] * window.targets.weight[:, 0] / len(window.first)

        parameters, static = eqx.partition(model, eqx.is_inexact_array)
        vector, unflatten = jax.flatten_util.ravel_pytree(parameters)

        def one(memory, window):
            memory, window = jax.tree.map(lambda leaf: leaf[None], (memory, window))
            return jax.jacrev(log_probs)(vector, memory, time_major(window))

        return jax.vmap(one)(state.carry.state, window)

    @eqx.filter_jit
    def both(key):
        state = agent.init(model, 5, key=key)
        steps = played(agent, state, 4)
        window = steps.window(agent.targets(steps))
        sums = jax.vmap(lambda *one: agent.sums(model, *one))(state.carry, window, jax.random.split(key, 5))
        ours = jax.tree.map(lambda *each: jnp.mean(least_noisy(*each), axis=0), *sums)
        return jax.flatten_util.ravel_pytree(ours)[0], scores(state, window), window.targets.psi

    ours, g, worth = map(np.asarray, both(key))
    plain, without = np.zeros(g.shape[-1]), np.zeros(g.shape[-1])
    for one in range(5):
        others = [other for other in range(5) if other != one]
        top, bottom = np.einsum("bt,btp->p", worth[others], g[others] ** 2), np.sum(g[others] ** 2, axis=(0, 1))
        baseline = top / np.where(bottom > 0, bottom, 1)
        plain += np.einsum("tp,tp->p", worth[one][:, None] - baseline, g[one]) / 5
        without += worth[one] @ g[one] / 5
    np.testing.assert_allclose(ours, plain, rtol=1e-8, atol=1e-12)
    assert np.abs(without - plain).max() > 1e-3


def learnt(agent, cell, updates, length, batch=16, parts=1):
    """The mean return of the last part of a training."""
    state, outcome = begun(agent, batch, cell), None
    for _ in range(parts):
        state, outcome = agent.train(state, updates, length)
    assert isinstance(outcome, Outcome)
    return mean(outcome.metrics["episodic_return"])


@pytest.fixture
def single():
    """As users have it, and not as the tests of laws."""
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("cell", [gru, rtu])
def test_products_with_the_fisher_matrix_are_those_with_the_hessian_of_the_divergence(cell, kind):
    env = TMaze(3, extra=2) if kind == "discrete" else Target(horizon=5)
    agent = TRPO(env, BPTT(), STILL)
    state = begun(agent, 2, cell)

    @eqx.filter_jit
    def both(state):
        steps = played(agent, state, 7)
        window = time_major(steps.window(agent.targets(steps)))
        here, static = eqx.partition(state.model.branches[0], eqx.is_inexact_array)
        replay = Replay(env, static, state.carry.state[0], window)
        old, fisher = replay.fisher(here)
        vector, unflatten = jax.flatten_util.ravel_pytree(here)

        def outputs(vector):
            """Step by step, which has forward derivatives too."""
            policy = eqx.combine(unflatten(vector), static)

            def one(memory, now):
                return jax.vmap(lambda memory, first, seen: policy(reset(policy, memory, first), seen))(memory, *now)

            return jax.lax.scan(one, replay.memory, (window.first, window.inputs))[1]

        dense = jax.hessian(lambda vector: replay.divergence(old, outputs(vector)))(vector)
        direction = jnp.sin(jnp.arange(len(vector), dtype=float))
        return jax.flatten_util.ravel_pytree(fisher(unflatten(direction)))[0], dense @ direction

    ours, dense = both(state)
    np.testing.assert_allclose(ours, dense, rtol=1e-7, atol=1e-12)
    assert np.abs(dense).max() > 1e-6


def test_a_step_of_trpo_stays_within_its_radius_and_uses_it():
    env = TMaze(3, extra=2)
    agent = TRPO(env, BPTT(), optax.sgd(0.1), radius=1e-3, damping=0.0, iterations=40)
    _, outcome = agent.train(begun(agent), 1, 12)
    assert 0.3e-3 < mean(outcome.metrics["losses/divergence"]) <= 1e-3
    assert mean(outcome.metrics["losses/policy"]) < 0


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("way", [PPO, TRPO])
def test_without_a_memory_they_reach_the_known_return_of_a_ladder(way):
    env = Ladder(4, cost=0.1, horizon=12)
    agent = way(env, BPTT(), optax.adam(1e-2))

    def layer(size, key):
        return engram.Chain(eqx.nn.Linear(size, 16, key=key), jnp.tanh)

    assert learnt(agent, layer, 30, 32, parts=2) > env.optimum - 0.05


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("way", [PolicyGradient, PPO])
def test_agents_learn_to_remember(way):
    env = TMaze(6)
    agent = way(env, BPTT(), optax.adam(5e-3), entropy_cost=0.01)
    found = learnt(agent, lambda size, key: GRU(size, 16, key=key), 120 if way is PolicyGradient else 30, 28, parts=2)
    assert found > env.memoryless + 0.7 * (env.optimum - env.memoryless)


@pytest.mark.usefixtures("single")
def test_past_the_window_there_is_something_to_learn_for_forward_estimators_alone():
    env = TMaze(16, noise=False)

    def found(estimator):
        agent = PolicyGradient(env, estimator, optax.adam(5e-3), Advantage(0.9), entropy_cost=0.01)
        return learnt(agent, lambda size, key: RTU(size, 8, key=key), 600, 2, batch=32, parts=2)

    half = env.memoryless + 0.5 * (env.optimum - env.memoryless)
    assert found(RTRL()) > half
    assert found(TBPTT(2)) < half


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PolicyGradient(ENV, BPTT(), STILL, gamma=1.1), "gamma"),
        (lambda: Advantage(1.5), "0 to 1"),
        (lambda: LookAhead(0), "count >= 1"),
        (lambda: PPO(ENV, BPTT(), STILL, epochs=0), "epochs=0"),
        (lambda: PPO(ENV, BPTT(), STILL, lam=-1.0), "lam=-1"),
        (lambda: PPO(ENV, BPTT(), STILL, clip=0.0), "clip > 0"),
        (lambda: begun(PolicyGradient(ENV, BPTT(), STILL), 0), "batch=0"),
        (lambda: PolicyGradient(ENV, BPTT(), STILL).init(None, 1, key=jax.random.key(0)), "NoneType is no cell"),
        (
            lambda: PolicyGradient(ENV, BPTT(), STILL).init(
                gru(width(ENV.observation_space), jax.random.key(0)), 1, key=jax.random.key(0)
            ),
            "wants \\(policy, value\\), of 2 numbers",
        ),
        (lambda: TRPO(ENV, BPTT(), STILL, radius=0.0), "radius > 0"),
        (lambda: TRPO(ENV, BPTT(), STILL, value_steps=0), "value_steps=0"),
        (lambda: begun(TRPO(ENV, BPTT(), STILL), shared=True), "memory of its own"),
        (lambda: trained(PPO(ENV, BPTT(), STILL, minibatches=3), 8), "minibatches=3"),
        (lambda: trained(PPO(ENV, BPTT(), STILL, chunk=3), 8), "chunk=3"),
        (lambda: trained(PolicyGradient(ENV, TBPTT(3), STILL), 8), "multiple of 3"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def trained(agent, length):
    return agent.train(begun(agent), 1, length)


def test_heads_are_normalised_as_their_memory_is(key):
    def made(normalised):
        return actor_critic(
            TMaze(5), lambda size, key: WeightNorm(GRU(size, 4, key=key)) if normalised else GRU(size, 4, key=key), key=key
        )

    seen, plain, model = jnp.ones(3), made(False), made(True)
    for ours, theirs in zip(
        jax.tree.leaves(model(model.initial(), seen)), jax.tree.leaves(plain(plain.initial(), seen)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    policy, value = (branch.layers[-1].layer for branch in model.branches)
    longer = eqx.tree_at(lambda head: head.linear.linear.weight, policy, replace_fn=lambda weight: 3 * weight)
    np.testing.assert_allclose(longer(jnp.ones(4)), policy(jnp.ones(4)), rtol=1e-6)
    longer = eqx.tree_at(lambda head: head.linear.weight, value, replace_fn=lambda weight: 3 * weight)
    np.testing.assert_allclose(longer(jnp.ones(4)), value(jnp.ones(4)), rtol=1e-6)
