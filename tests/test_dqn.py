"""DQN: its targets against hand-worked numbers, and the windows that it learns from against what was acted."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from farback import configure
from farback.acting import Trajectory
from farback.agents import DQN, EpsilonGreedy, QHead, QNetwork
from farback.agents.off_policy import outputs, unrolled
from farback.cells import GRU, MLP
from farback.envs import Pendulum, TMaze
from farback.estimators import RTRL, UORO
from farback.ops.rescaling import rescale, unrescale
from farback.replay import Replay
from farback.types import InputError

pytestmark = pytest.mark.slow

MAZE, GRU8 = TMaze(3, noise=False), functools.partial(GRU, size=8)
NETWORK = QNetwork(GRU8)


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def make(network=NETWORK, env=MAZE, **more):
    sizes = {"num_envs": 4, "window": 5, "buffer_size": 200, "batch_size": 8, "sequence_length": 4, "learning_starts": 40}
    return DQN(env, network, exploration=EpsilonGreedy(0.5), **(sizes | more))


def after(agent, updates, seed=0):
    state = eqx.filter_jit(agent.init)(jax.random.key(seed))
    return agent.train(state, updates)[0] if updates else state


def test_dqn_replayed_window_reproduces_what_was_acted():
    """From its stored first memory, the network recomputes the memories of the later steps; another network does not."""
    agent = make(learning_starts=200)  # the parameters never change
    state = after(agent, 9)
    network = state.learner.network
    _, steps = state.replay.sample(jax.random.key(1), 16, 6)
    assert steps.first[:, 1:].any(), "an episode begins within a window"
    memory = steps.extras[:, 0]

    @eqx.filter_jit
    def memories(network):
        pieces = [jax.tree.map(lambda leaf, end=end: leaf[:, :end], steps) for end in range(1, 6)]
        return jnp.stack([unrolled(network, memory, piece)[0] for piece in pieces], axis=1)

    assert jnp.allclose(memories(network), steps.extras[:, 1:], atol=1e-12)
    shifted = jax.tree.map(lambda leaf: leaf + 0.1 if eqx.is_inexact_array(leaf) else leaf, network)
    assert not jnp.allclose(memories(shifted), steps.extras[:, 1:], atol=1e-3), "control"


def steps_of(reward, terminated, truncated, last):
    """A window of one sequence."""

    def row(values, kind):
        return jnp.asarray(values, kind)[None]

    count = len(reward)
    empty = jnp.zeros((1, count, 1))
    flags = (row(terminated, bool), row(truncated, bool))
    return Trajectory(row([0] * count, bool), row(last, bool), empty, row([0] * count, int), (), row(reward, float), *flags)


THEIRS = jnp.array([[1.0, 5.0], [2.0, 4.0], [3.0, 0.0], [7.0, 6.0], [8.0, 9.0]])[None, ..., None]
OURS = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])[None, ..., None]
NONE = [0] * 5


@pytest.mark.parametrize(
    ("more", "ends", "expected"),
    [
        ({}, (NONE, NONE, NONE), [1 + 1.0, 2 + 0.0, 4 + 3.0, 8 + 4.0]),  # the network chooses, and its target evaluates
        ({"double": False}, (NONE, NONE, NONE), [1 + 2.0, 2 + 1.5, 4 + 3.5, 8 + 4.5]),
        ({"n_step": 2, "double": False}, (NONE, NONE, NONE), [1 + 1 + 0.75, 2 + 2 + 1.75, 4 + 4 + 2.25, 8 + 4.5]),
        ({"double": False}, ([0, 1, 0, 0, 0], NONE, [0, 0, 1, 0, 0]), [1 + 2.0, 2.0, None, 8 + 4.5]),
        ({"double": False}, (NONE, [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]), [1 + 2.0, 2 + 1.5, None, 8 + 4.5]),
        (
            {"n_step": 3, "double": False},
            (NONE, [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]),
            [1 + 0.5 * (2 + 1.5), 2 + 1.5, None, 8 + 4.5],
        ),
        ({"n_step": 3, "double": False}, ([0, 1, 0, 0, 0], NONE, [0, 0, 1, 0, 0]), [1 + 0.5 * 2, 2.0, None, 8 + 4.5]),
    ],
)
def test_dqn_targets_by_hand(more, ends, expected):
    """γ = 1/2, rewards 1, 2, 4, 8. The step after an end is a last observation, whose target does not matter."""
    agent = make(gamma=0.5, **more)
    found = agent.return_samples(steps_of([1, 2, 4, 8, 16], *ends), OURS, THEIRS)[0, :, 0]
    for value, wanted in zip(found, expected, strict=True):
        assert wanted is None or value == wanted


def test_dqn_value_rescaling_inverts():
    values = jnp.array([-300.0, -2.0, 0.0, 0.5, 1000.0])
    assert jnp.allclose(unrescale(rescale(values)), values, rtol=1e-9, atol=1e-12)
    assert jnp.isclose(rescale(jnp.array(3.0)), 1 + 0.003)
    agent = make(gamma=0.5, double=False, value_rescaling=True)
    steps = steps_of([1, 2, 4, 8, 16], NONE, NONE, NONE)
    plain = make(gamma=0.5, double=False).return_samples(steps, OURS, unrescale(THEIRS))
    assert jnp.allclose(agent.return_samples(steps, OURS, THEIRS), rescale(plain))


def test_dqn_burn_in_recomputes_the_memory_without_a_gradient():
    """With the parameters of acting, a window after a burn-in has the gradient of one from the memory stored there."""
    agent = make(learning_starts=200, burn_in=3)
    state = after(agent, 9)
    _, steps = state.replay.sample(jax.random.key(1), 8, 8)
    without = dataclasses.replace(agent, burn_in=0)
    later = jax.tree.map(lambda leaf: leaf[:, 3:], steps)
    improve = eqx.filter_jit(lambda agent, steps: agent.improve(state.learner, steps, jnp.ones(8), jax.random.key(2)))
    one, other = improve(agent, steps), improve(without, later)
    assert jnp.allclose(one.outcome.loss, other.outcome.loss, rtol=1e-9)
    assert jnp.allclose(one.error, other.error, rtol=1e-9)
    networks = [jax.tree.leaves(eqx.filter(found.learner.network, eqx.is_array)) for found in (one, other)]
    assert all(jnp.allclose(*pair, rtol=1e-6, atol=1e-9) for pair in zip(*networks, strict=True))


def test_dqn_last_observations_have_no_loss_and_errors_are_those_of_the_windows():
    agent = make()
    state = after(agent, 6)
    _, steps = state.replay.sample(jax.random.key(1), 8, agent.window_length)
    assert steps.last[:, :4].any()
    found = eqx.filter_jit(agent.improve)(state.learner, steps, jnp.ones(8), jax.random.key(2))
    memory, out = steps.extras[:, 0], eqx.filter_jit(outputs)
    ours, theirs = (out(network, memory, steps) for network in (state.learner.network, state.learner.target))
    samples = agent.return_samples(steps, ours, theirs)[:, :4, 0]
    values = jnp.take_along_axis(ours[:, :4, :, 0], steps.action[:, :4, None], axis=2)[..., 0]
    active = ~steps.last[:, :4]
    assert jnp.allclose(found.error, jnp.where(active, jnp.abs(samples - values), 0))
    loss = optax.losses.l2_loss(values, samples)
    assert jnp.isclose(found.outcome.loss, jnp.sum(jnp.where(active, loss, 0)) / jnp.sum(active))


def test_dqn_target_moves_softly_or_by_copies():
    for more, expected in (({"target_rate": 0.25}, 0.25), ({"target_rate": 1.0, "target_period": 3}, 0.0)):
        agent = make(gradient_steps=1, **more)
        state, update = after(agent, 0), eqx.filter_jit(agent.update)
        while state.learner.gradient_steps == 0:
            before, (state, _) = state, update(state)
        old, new, target = (
            jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))])
            for model in (before.learner.target, state.learner.network, state.learner.target)
        )
        assert jnp.allclose(target, old + expected * (new - old))
    state = update(update(state)[0])[0]
    assert state.learner.gradient_steps == 3
    assert eqx.tree_equal(state.learner.network, state.learner.target), "the third gradient step copies"


def test_dqn_prioritized_replay_holds_the_errors():
    agent = make(prioritized=True, priority_exponent=1.0, gradient_steps=1)
    state = after(agent, 8)
    weights = np.asarray(state.replay.tree.weights)
    whole = agent.num_envs * int(state.replay.replay.starts(agent.window_length))
    assert (weights > 0).sum() == whole
    assert len(set(weights[weights > 0].tolist())) > 3
    before = after(dataclasses.replace(agent, learning_starts=200), 8)
    assert set(np.asarray(before.replay.tree.weights).tolist()) == {0.0, 1.0}, "control: nothing learnt yet"


@pytest.mark.slow
@pytest.mark.parametrize(
    "agent",
    [
        make(gradient_steps=4, target_rate=0.05),
        make(QNetwork(GRU8, quantiles=8, dueling=True), gradient_steps=4, target_rate=0.05, prioritized=True, n_step=2),
    ],
    ids=["DQN", "QR-DQN"],
)
def test_dqn_learns_to_remember(agent):
    agent = dataclasses.replace(agent, buffer_size=4_000, batch_size=32, sequence_length=5, optimizer=optax.adam(3e-3))
    state = after(agent, 400)
    network = agent.network_in(state)
    found = eqx.filter_jit(agent.evaluate)(network, jax.random.key(1), 100)["charts/episodic_return"]
    assert found.total.sum() / found.count.sum() > 3.5
    fresh = agent.network_in(after(agent, 0))
    chance = eqx.filter_jit(agent.evaluate)(fresh, jax.random.key(1), 100)["charts/episodic_return"]
    assert chance.total.sum() / chance.count.sum() < 2


@pytest.mark.slow
def test_qr_dqn_quantiles_are_those_of_the_return_at_the_junction():
    """Without a memory, each turn at the junction has the return 4 or −3, with equal probabilities.

    Huber's loss with κ = 1 moves the quantile τ by τ / (1 − τ) away from −3, and by (1 − τ) / τ away from 4.
    """
    network = QNetwork(functools.partial(MLP, size=32), quantiles=4)
    agent = make(network, TMaze(2, noise=False), sequence_length=1, buffer_size=2_000, batch_size=32, gradient_steps=4)
    state = after(dataclasses.replace(agent, optimizer=optax.adam(3e-3), exploration=EpsilonGreedy(1.0)), 500)
    world = agent.env.reset(jax.random.key(0))
    for _ in range(agent.env.max_episode_steps - 1):
        world, _ = agent.env.step(world, jnp.array(0), jax.random.key(1))
    learnt = state.learner.network
    quantiles = learnt.head(learnt.memory((), learnt.encoder(agent.env.observe(world)))[1])
    expected = jnp.array([-3 + 1 / 7, -3 + 3 / 5, 4 - 3 / 5, 4 - 1 / 7])
    assert jnp.allclose(jnp.sort(quantiles, axis=1), expected, atol=0.15)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"buffer_size": 15}, "buffer_size=15"),
        ({"sequence_length": 60}, "buffer_size=200"),
        ({"learning_starts": 10}, "learning_starts=10"),
        ({"learning_starts": 300}, "learning_starts=300"),
        ({"batch_size": 500}, "batch_size=500"),
        ({"target_rate": 0.0}, "target_rate=0.0"),
        ({"target_rate": 1.5}, "target_rate=1.5"),
        ({"burn_in": -1}, "burn_in=-1"),
        ({"n_step": 0}, "n_step=0"),
        ({"gamma": 1.5}, "gamma=1.5"),
        ({"estimator": RTRL()}, "no trace to carry"),
        ({"estimator": UORO()}, "no trace to carry"),
    ],
)
def test_dqn_refuses_bad_arguments(more, message):
    with pytest.raises(InputError, match=message):
        make(**more)


def test_dqn_refuses_what_does_not_fit(monkeypatch):
    with pytest.raises(InputError, match="not Discrete"):
        make(env=Pendulum()).init(jax.random.key(0))
    agent = make()
    network, head = NETWORK(MAZE, key=jax.random.key(0)), QHead(8, 3, key=jax.random.key(1))
    with pytest.raises(InputError, match="The network's output is"):
        agent.begin(eqx.tree_at(lambda network: network.head, network, head), jax.random.key(0))
    monkeypatch.setattr("farback.agents.off_policy.device_bytes", lambda: 1_000)
    with pytest.raises(InputError, match="the device has 1,000 bytes of memory"):
        agent.init(jax.random.key(0))


def test_replay_is_an_array_of_the_state():
    state = after(make(), 0)
    assert isinstance(state.replay, Replay)
    assert state.replay.steps.extras.shape == (4, 50, 8)


def test_a_run_has_one_replay():
    """The program adds to the replay in place, and needs no other memory of that size."""
    words = {"env": "TMaze(3)", "cell": "MLP(2)", "num_envs": 2, "window": 1, "batch_size": 2, "learning_starts": 4}
    program = configure("dqn", **words, sequence_length=1, buffer_size=100_000, gradient_steps=1, log_every=1).program()
    before = program.init()
    observations = before.state.replay.steps.observation
    size, address = observations.nbytes, observations.unsafe_buffer_pointer()
    after = program.advance(before, 3, 0)[0]
    assert observations.is_deleted()
    assert after.state.replay.steps.observation.unsafe_buffer_pointer() == address
    assert program.scratch < size
