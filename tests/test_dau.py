"""Deep advantage updating: its update against the equations, what it learns as the time step shrinks, and refusals."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from farback.acting import Trajectory
from farback.agents import DAU, DAUNetwork, QNetwork
from farback.agents.off_policy import Learner
from farback.cells import MLP
from farback.envs import Hill, Pusher, Target
from farback.ops.gradients import scale_gradient
from farback.ops.optimizers import RMSpropInTime
from farback.types import InputError

MLP8 = functools.partial(MLP, size=8, layers=1)
HILL, PUSHER = Hill(), Pusher()


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def make(env, cell=MLP8, network=None, **more):
    sizes = {"num_envs": 4, "window": 4, "buffer_size": 80, "batch_size": 6, "learning_starts": 24, "gradient_steps": 1}
    return DAU(env, network or DAUNetwork(cell, advantage_size=8), **(sizes | more))


def transitions(env, dt, key, batch=4, terminated=False):
    """Steps of a process whose states, actions and rates of reward do not depend on dt, and the step after each."""
    keys = jax.random.split(key, 4)
    state, rate = jax.random.uniform(keys[0], (batch,)), jax.random.normal(keys[1], (batch,))
    discrete = env.action_space.shape == ()
    action = jax.random.randint(keys[2], (batch,), 0, 2) if discrete else jax.random.uniform(keys[2], (batch, 1), minval=-1)
    drift = jax.random.normal(keys[3], (batch,))

    def both(now, later):
        return jnp.stack([now, later], axis=1)

    no = jnp.zeros((batch, 2), bool)
    return Trajectory(
        observation=both(state, state + dt * drift)[..., None],
        first=no,
        last=no,
        action=both(action, action),
        reward=both(dt * rate, dt * rate),
        terminated=no.at[:, 0].set(terminated),
        truncated=no,
        extras=tuple(() for _ in range(2 if discrete else 3)),
    )


def changes(agent, steps):
    """The changes of the parameters by one step of plain gradient descent at a rate of 1."""
    network = agent.network(agent.env, key=jax.random.key(1))
    network = jax.tree.map(lambda leaf: leaf + 0.3 if eqx.is_array(leaf) and leaf.ndim == 1 else leaf, network)
    learner = Learner(network, network, agent.init_optimizer(network), jnp.zeros((), int))

    @eqx.filter_jit
    def improved(learner):
        return agent.improve(learner, steps, jnp.ones(len(steps.reward)), jax.random.key(0)).learner.network

    after = improved(learner)
    pick = functools.partial(eqx.filter, filter_spec=eqx.is_inexact_array)
    return network, jax.tree.map(lambda new, old: new - old, pick(after), pick(network))


class Plain(DAU):
    """Deep advantage updating by plain gradient descent, which shows the gradients of its loss."""

    @property
    def _optimizers(self):
        return optax.sgd(1.0), optax.sgd(1.0)


def plain(env, **more):
    agent = make(env, **more)
    return Plain(**{name: getattr(agent, name) for name in agent.__dataclass_fields__})


@pytest.mark.parametrize("terminated", [False, True])
def test_the_update_is_that_of_the_thesis_for_discrete_actions(terminated):
    """Δθ = −mean δQ/δt ∂V/∂θ and Δψ = −mean δQ/δt ∂A/∂ψ, each step by itself."""
    env, dt = Hill(dt=0.02), 0.02
    steps = transitions(env, dt, jax.random.key(2), terminated=terminated)
    network, found = changes(plain(env), steps)

    def value(part, seen):
        return part.head(part.memory((), part.encoder(seen))[1])

    def advantage(part, seen, action):
        each = part.head(part.memory((), part.encoder(seen))[1])
        return each[action] - each.max()

    total = None
    for seen, action, reward in zip(steps.observation, steps.action[:, 0], steps.reward[:, 0], strict=True):
        target = reward + (0 if terminated else 0.8**dt * value(network.value, seen[1]))
        error = (value(network.value, seen[0]) + dt * advantage(network.advantage, seen[0], action) - target) / dt
        slopes = (
            eqx.filter_grad(value)(network.value, seen[0]),
            eqx.filter_grad(advantage)(network.advantage, seen[0], action),
        )
        step = jax.tree.map(lambda slope, error=error: -error * slope / len(steps.reward), slopes)
        total = step if total is None else jax.tree.map(jnp.add, total, step)
    for one, other in zip(*map(jax.tree.leaves, ((found.value, found.advantage), total)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_the_policy_ascends_the_advantage_and_leaves_it_alone():
    env = Pusher(dt=0.02)
    steps = transitions(env, 0.02, jax.random.key(2))
    network, found = changes(plain(env), steps)

    def advantage(policy, seen):
        unit = policy.head(policy.memory((), policy.encoder(seen))[1])
        part = network.advantage
        return part.head(part.memory((), part.encoder(seen))[1], unit)

    @eqx.filter_grad
    def mean(policy):
        return jnp.mean(jax.vmap(lambda seen: advantage(policy, seen))(steps.observation[:, 0]))

    for one, other in zip(*map(jax.tree.leaves, (found.policy, mean(network.policy))), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def relative(one, other):
    leaves = zip(*map(jax.tree.leaves, (one, other)), strict=True)
    return max(float(jnp.max(jnp.abs(a - b)) / (jnp.max(jnp.abs(b)) + 1e-30)) for a, b in leaves)


@pytest.mark.parametrize("env", [Hill, Pusher])
def test_changes_have_a_limit_for_short_time_steps(env):
    far, near = (changes(plain(env(dt=dt)), transitions(env(dt=dt), dt, jax.random.key(3)))[1] for dt in (1e-4, 1e-6))
    assert relative((far.value, far.advantage), (near.value, near.advantage)) < 1e-2


def test_control_the_gradient_of_the_squared_error_has_no_limit():
    """The gradient of (V + δt A − y)² in the parameters of A, which the authors' code follows, is proportional to δt²."""

    def slope(dt):
        env = Hill(dt=dt)
        network, steps = DAUNetwork(MLP8)(env, key=jax.random.key(1)), transitions(env, dt, jax.random.key(3))

        @eqx.filter_grad
        def squared(advantage):
            def one(seen, action, reward):
                value = [network.value.head(network.value.memory((), each)[1]) for each in seen]
                each = advantage.head(advantage.memory((), seen[0])[1])
                return (value[0] + dt * (each[action] - each.max()) - reward - 0.8**dt * value[1]) ** 2

            return jnp.mean(jax.vmap(one)(steps.observation, steps.action[:, 0], steps.reward[:, 0]))

        return optax.tree.norm(squared(network.advantage))

    np.testing.assert_allclose(slope(1e-5) / slope(1e-4), 1e-2, rtol=0.1)


def test_rmsprop_in_time_equals_numpy():
    optimizer, dt = RMSpropInTime(0.1, 0.02), 0.02
    parameters, mean = np.array([1.0, -2.0]), np.zeros(2)
    state, found = optimizer.init(jnp.asarray(parameters)), jnp.asarray(parameters)
    for gradient in np.array([[1.0, 1e-9], [0.5, -1e-9], [-2.0, 1e-9]]):
        change, state = optimizer.transformation.update(jnp.asarray(gradient), state)
        found = found + change
        mean = (1 - dt) * mean + dt * gradient**2
        parameters = parameters - 0.1 * dt * gradient / (np.sqrt(mean) + 1e-8)
    np.testing.assert_allclose(found, parameters, rtol=1e-9)
    assert optimizer.learning_rate(0) == 0.1 * dt


def test_scale_gradient_keeps_the_value():
    value, slope = jax.value_and_grad(lambda x: scale_gradient(x, 0.1) ** 2)(3.0)
    assert value == 9
    np.testing.assert_allclose(slope, 0.6)


def test_noise_on_advantages_decides_between_discrete_actions_and_outlives_episodes():
    agent = make(Hill(seconds=0.5))
    state = eqx.filter_jit(agent.init)(jax.random.key(0))
    behaviour = agent.behaviour(state.learner.network)
    before = behaviour.initial()
    assert before.exploration.shape == (2,)
    for action, noise in ((0, [100.0, -100.0]), (1, [-100.0, 100.0])):
        loud = before._replace(exploration=jnp.array(noise))
        assert behaviour(loud, jnp.zeros(1), True, jax.random.key(0))[1] == action
    quiet = agent.policy(state.learner.network)
    assert quiet.initial().exploration == ()


def test_time_limits_are_bootstrapped_through_and_ends_are_not():
    env, dt = Hill(dt=0.02), 0.02
    steps = transitions(env, dt, jax.random.key(2))
    at_end = steps.first.at[:, 0].set(True)
    cut = dataclasses.replace(steps, truncated=at_end, last=at_end[:, ::-1])
    ended = dataclasses.replace(steps, terminated=at_end, last=at_end[:, ::-1])
    each = [changes(plain(env), found)[1].value for found in (steps, cut, ended)]
    assert relative(each[0], each[1]) < 1e-9
    assert relative(each[0], each[2]) > 0.1


def test_what_is_not_in_physical_time_is_refused():
    with pytest.raises(InputError, match=r"Target does not state its time step; give"):
        make(Target())
    with pytest.raises(InputError, match=r"policy_learning_rate=0\): give a positive number"):
        make(PUSHER, policy_learning_rate=0)
    with pytest.raises(InputError, match="a time step of 2 seconds is too long"):
        make(Pusher(dt=2, seconds=20))


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="advantage_size >= 1"):
        DAUNetwork(MLP8, advantage_size=0)
    with pytest.raises(InputError, match="make it with DAUNetwork"):
        make(HILL, network=QNetwork(MLP8)).init(jax.random.key(0))
    discrete = make(HILL).network(HILL, key=jax.random.key(0))
    with pytest.raises(InputError, match="not Discrete"):
        make(PUSHER).begin(discrete, jax.random.key(0))
