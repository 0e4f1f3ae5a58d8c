"""DDPG, TD3 and SAC: their parts against hand-worked numbers, and what each loss trains."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium.spaces import Box, Dict, Tuple

from farback.agents import DDPG, SAC, DDPGNetwork, GaussianNoise, NoExploration, SACNetwork
from farback.agents.box_actions import BoxActions
from farback.agents.off_policy import unrolled
from farback.agents.policy_q_network import SquashedGaussian
from farback.cells import GRU, MLP
from farback.envs import HighLow, MemoryStates, Pendulum, TMaze
from farback.estimators import RTRL
from farback.types import InputError

pytestmark = pytest.mark.slow

GRU4 = functools.partial(GRU, size=4)


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def make(agent=DDPG, env=HighLow(3), cell=GRU4, critics=2, shared=False, **more):
    maker = DDPGNetwork if agent is DDPG else SACNetwork
    network = maker(cell, shared_memory=shared, critics=critics, critic_size=4)
    sizes = {"num_envs": 4, "window": 4, "buffer_size": 80, "batch_size": 6, "sequence_length": 3, "learning_starts": 24}
    return agent(env, network, gradient_steps=1, **(sizes | more))


def after(agent, updates):
    state = eqx.filter_jit(agent.init)(jax.random.key(0))
    return agent.train(state, updates)[0] if updates else state


def moved(one, other):
    """Whether any parameter differs."""
    leaves = [jax.tree.leaves(eqx.filter(model, eqx.is_array)) for model in (one, other)]
    return any(not jnp.array_equal(*pair) for pair in zip(*leaves, strict=True))


def test_box_actions_are_vectors_between_minus_one_and_one():
    class Boxes(type(HighLow())):
        action_space = Dict({"a": Tuple([Box(-2, 2, (2,)), Box(0, 10, (1, 2))]), "b": Box(-1, 0, ())})

    actions = BoxActions(Boxes(), "DDPG")
    unit = jnp.array([-1.0, 0.5, 0.0, 1.0, -0.5])
    action = actions.from_unit(unit)
    assert jnp.allclose(action["a"][0], jnp.array([-2.0, 1.0]))
    assert jnp.allclose(action["a"][1], jnp.array([[5.0, 10.0]]))
    assert jnp.allclose(action["b"], -0.75)
    assert jnp.allclose(actions.to_unit(action), unit)


def test_squashed_gaussian_density_is_that_of_its_samples():
    """The density of u = tanh(z) integrates to 1, and has the mass of the samples in an interval."""
    one = SquashedGaussian(jnp.array([0.4]), jnp.array([-0.3]))
    units = jnp.linspace(-0.9999, 0.9999, 20_001)
    noise = (jnp.arctanh(units) - 0.4) / jnp.exp(-0.3)
    again, log_prob = jax.vmap(lambda noise: one.sample(noise[None]))(noise)
    assert jnp.allclose(again[:, 0], units)
    step = units[1] - units[0]
    assert jnp.isclose(jnp.sum(jnp.exp(log_prob)) * step, 1, atol=1e-3)
    inside = (units > 0.2) & (units < 0.7)
    drawn, _ = jax.vmap(lambda noise: one.sample(noise[None]))(jax.random.normal(jax.random.key(0), (20_000,)))
    share = jnp.mean((drawn > 0.2) & (drawn < 0.7))
    assert jnp.isclose(jnp.sum(jnp.where(inside, jnp.exp(log_prob), 0)) * step, share, atol=0.01)


def targets_of(agent, state, noise):
    """The target values of windows, the windows, and the outputs of the target's memories."""
    _, steps = state.replay.sample(jax.random.key(1), 6, agent.window_length)
    memory = jax.tree.map(lambda leaf: leaf[:, 0], steps.extras)
    _, theirs = unrolled(state.learner.target, memory, steps)
    noise = jnp.full((*steps.first.shape, 1), noise)
    return agent.next_values(state.learner, steps, theirs, noise), steps, theirs, noise


def test_td3_targets_take_the_least_critic_of_a_smoothed_action():
    agent = make(smoothing_std=0.2, smoothing_clip=0.3)
    state = after(agent, 3)
    for noise, added in ((1.0, 0.2), (-1.0, -0.2), (5.0, 0.3)):
        value, _, theirs, _ = targets_of(agent, state, noise)
        target = state.learner.target
        unit = jnp.clip(jax.vmap(jax.vmap(target.policy.head))(theirs[0]) + added, -1, 1)
        both = jax.vmap(jax.vmap(target.critic.head))(theirs[1], unit)
        assert both.shape[-1] == 2
        assert jnp.allclose(value, jnp.min(both, axis=-1))
        assert not jnp.allclose(value, jnp.max(both, axis=-1)), "control"


def test_sac_targets_subtract_the_temperature_times_the_log_probability():
    agent = make(SAC)
    state = after(agent, 3)
    state = eqx.tree_at(lambda state: state.learner.network.log_alpha, state, jnp.log(0.5))
    value, steps, theirs, noise = targets_of(agent, state, 0.7)
    network = state.learner.network
    memory = jax.tree.map(lambda leaf: leaf[:, 0], steps.extras)
    policy = jax.vmap(jax.vmap(network.policy.head))(unrolled(network, memory, steps)[1][0])
    unit, log_prob = policy.sample(noise)
    both = jax.vmap(jax.vmap(state.learner.target.critic.head))(theirs[1], unit)
    assert jnp.allclose(value, jnp.min(both, axis=-1) - 0.5 * log_prob)


def gradient_of(agent, state, part):
    """The gradient of one part of the loss with respect to the network, in a window of the replay."""
    _, steps = state.replay.sample(jax.random.key(1), 6, agent.window_length)
    still = dataclasses.replace(agent, optimizer=optax.sgd(0.0), policy_optimizer=optax.sgd(0.0))
    learner = dataclasses.replace(state.learner, optimizer=still.init_optimizer(state.learner.network))
    rate = {"critic": {"optimizer": optax.sgd(1.0)}, "policy": {"policy_optimizer": optax.sgd(1.0)}}[part]
    one = dataclasses.replace(still, **rate)
    improved = eqx.filter_jit(one.improve)(learner, steps, jnp.ones(6), jax.random.key(2))
    return improved.learner.network, state.learner.network


@pytest.mark.parametrize("agent", [make(), make(SAC)], ids=["DDPG", "SAC"])
def test_each_optimizer_trains_its_own_part(agent):
    state = after(agent, 3)
    found, before = gradient_of(agent, state, "critic")
    assert moved(found.critic, before.critic)
    assert not moved(found.policy, before.policy)
    found, before = gradient_of(agent, state, "policy")
    assert moved(found.policy, before.policy)
    assert moved(found.policy.memory, before.policy.memory)
    assert not moved(found.critic, before.critic)
    if agent.stochastic:
        assert found.log_alpha != before.log_alpha


@pytest.mark.parametrize("shared", [False, True])
def test_policy_loss_is_no_gradient_of_the_critics(shared):
    """With a weight of 0 the critics have no loss of their own, and must not move, nor must a memory that they share."""
    agent = dataclasses.replace(make(shared=shared), optimizer=optax.sgd(1.0))
    state = after(agent, 3)
    _, steps = state.replay.sample(jax.random.key(1), 6, agent.window_length)
    for weight, moves in ((0.0, False), (1.0, True)):
        improve = eqx.filter_jit(agent.improve)
        found = improve(state.learner, steps, jnp.full(6, weight), jax.random.key(2)).learner.network
        assert moved(found.critic, state.learner.network.critic) == moves
        assert moved(found.policy, state.learner.network.policy)


def test_policy_is_updated_at_every_period():
    agent = make(policy_period=3, num_envs=4, window=4)
    state, update = after(agent, 0), eqx.filter_jit(agent.update)
    while state.learner.gradient_steps == 0:
        state, _ = update(state)
    changes = []
    for _ in range(6):
        before, (state, _) = state, update(state)
        old, new = before.learner.network, state.learner.network
        changes.append((int(state.learner.gradient_steps), moved(old.policy, new.policy)))
        assert moved(old.critic, new.critic)
    assert all(change == (count % 3 == 0) for count, change in changes)


def test_sac_temperature_follows_the_entropy():
    """α falls where the entropy is above its target, and rises where it is below."""
    for target, falls in ((-9.0, True), (9.0, False)):
        agent = make(SAC, target_entropy=target, policy_optimizer=optax.sgd(0.1))
        state = after(agent, 6)
        assert (state.learner.network.log_alpha < 0) == falls


def test_actions_are_random_before_learning_starts():
    """They are spread over the bounds, and an untrained policy without noise is not."""
    for updates, spread in ((2, True), (9, False)):
        agent = make(exploration=NoExploration(), learning_starts=32, policy_optimizer=optax.sgd(0.0))
        newest = after(agent, updates).replay.steps.action[:, 4 * (updates - 1) : 4 * updates]
        assert (np.std(newest) > 0.3) == spread


def test_memory_states_are_actions_too():
    agent = make(env=MemoryStates(HighLow(3), 2), cell=functools.partial(MLP, size=4), exploration=GaussianNoise(0.1))
    state, outcomes = agent.train(after(agent, 0), 4)
    assert state.replay.steps.action["write"].shape == (4, 20, 2)
    assert np.isfinite(outcomes.loss).all()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: make(env=TMaze(3)), "continuous actions between bounds"),
        (lambda: make(SAC, env=TMaze(3)), "continuous actions between bounds"),
        (lambda: make(estimator=RTRL()), "no trace to carry"),
        (lambda: make(policy_period=0), "policy_period"),
        (lambda: make(smoothing_std=-1.0), "smoothing_std=-1.0"),
        (lambda: make(critics=0), "critics=0"),
        (lambda: dataclasses.replace(make(), network=SACNetwork(GRU4)), "The policy's output is"),
        (lambda: dataclasses.replace(make(SAC), network=DDPGNetwork(GRU4)), "The policy's output is"),
        (lambda: dataclasses.replace(make(), env=Pendulum(), network=lambda env, key: eqx.nn.Identity()), "is no network"),
    ],
)
def test_bad_input_is_refused(made, message):
    with pytest.raises(InputError, match=message):
        made().init(jax.random.key(0))
