"""Deep memory states: each gradient against one that is written out, and what the replay holds afterwards."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from farback.agents import MemoryActorCritic, MemoryActorCriticNetwork, OrnsteinUhlenbeck
from farback.cells import GRU, LSTM, MLP, DeltaNet
from farback.envs import HighLow, Target, TMaze
from farback.types import InputError

GAMMA, COEF = 0.9, 10.0
OBJECTIVES = {"q": {"bellman_coef": 0.0}, "bellman": {"q_coef": 0.0}, "both": {}}
SIZES = {"num_envs": 2, "window": 5, "batch_size": 6, "sequence_length": 3, "learning_starts": 20, "buffer_size": 40}


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def make(env=HighLow(4), cell=LSTM, sees=True, rate=1.0, **more):
    network = MemoryActorCriticNetwork(functools.partial(cell, size=3), None, 5, 4, sees)
    rates = dict.fromkeys(("optimizer", "policy_optimizer", "write_optimizer"), optax.sgd(rate))
    noise = OrnsteinUhlenbeck(sigma=0.5)
    words = {"gradient_steps": 1, "gamma": GAMMA, "bellman_coef": COEF, "exploration": noise, "write_exploration": noise}
    return MemoryActorCritic(env, network, **(SIZES | rates | words | more))


def after(agent, updates):
    return agent.train(eqx.filter_jit(agent.init)(jax.random.key(0)), updates)[0]


@functools.lru_cache
def trained(sees=True):
    """The state after some learning, with the optimizers of `make()` as they begin."""
    agent = make(sees=sees)
    state = after(make(sees=sees, rate=0.1), 8)
    return eqx.tree_at(lambda state: state.learner.optimizer, state, agent.init_optimizer(state.learner.network))


def drawn(agent, state):
    """Windows of the replay."""
    return state.replay.sample(jax.random.key(1), agent.batch_size, agent.window_length)[1]


def losses(network, learner, steps, load):
    """The losses of the critic, of the action and of the Bellman error, summed step by step as the paper writes them."""
    steps = jax.tree.map(np.asarray, steps)
    flat, restore = ravel_pytree(network.cell.initial())
    size = len(flat)
    old, target = learner.network, learner.target
    found = {"critic": [], "action": [], "bellman": []}

    @eqx.filter_jit  # traced once, not once a step
    def q(critic, observation, memory, action, write):
        memory, write = (m if critic.sees_memory else jnp.zeros(size) for m in (memory, write))
        seen = jax.nn.relu(critic.first(jnp.concatenate([observation, memory])))
        return critic.last(jax.nn.relu(critic.second(jnp.concatenate([seen, action, write]))))[0]

    @eqx.filter_jit
    def pi(policy, observation, memory):
        write, _ = policy.cell(restore(memory), observation)
        return policy.action_head(observation, memory), ravel_pytree(write)[0]

    for row in range(len(steps.first)):
        stored = [ravel_pytree(jax.tree.map(lambda leaf, at=(row, t): leaf[at], steps.extras))[0] for t in range(4)]
        memory = stored[0] if load else flat
        for t in range(3):
            if steps.first[row, t]:
                memory = flat
            here, there = (jnp.asarray(steps.observation[row, at]) for at in (t, t + 1))
            action, reward = steps.action[row, t], steps.reward[row, t]
            proposed, write = pi(network, here, memory)
            if not steps.last[row, t]:
                discount = GAMMA * (1 - steps.terminated[row, t])
                acted = flat if steps.first[row, t] else stored[t]
                y = reward + discount * q(target.critic, there, stored[t + 1], *pi(target, there, stored[t + 1]))
                found["critic"].append((y - q(network.critic, here, acted, action, stored[t + 1])) ** 2)
                found["action"].append(-q(old.critic, here, memory, proposed, write))
                y = reward + discount * q(target.critic, there, write, *pi(old, there, write))
                expected = q(old.critic, here, memory, action, write)
                found["bellman"].append((jax.lax.stop_gradient(y) - expected) ** 2)
            memory = write
    return {name: jnp.mean(jnp.stack(terms)) for name, terms in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "load", "sees"),
    [("q", True, True), ("bellman", True, True), ("both", False, True), ("bellman", True, False)],
)
def test_memory_actor_critic_descends_the_losses_of_the_paper(objective, load, sees):
    agent = make(sees=sees, load_memory=load, **OBJECTIVES[objective])
    state = trained(sees)
    learner, steps = state.learner, drawn(agent, state)
    assert bool(steps.first[:, 1:3].any())
    assert bool(steps.last[:, :3].any())

    @eqx.filter_jit
    def slopes(network):
        def slope(name):
            return eqx.filter_grad(lambda network: losses(network, learner, steps, load)[name])(network)

        return [slope(name) for name in ("critic", "action", "bellman")]

    critic, action, bellman = slopes(learner.network)
    found = eqx.filter_jit(agent.improve)(learner, steps, jnp.ones(6), jax.random.key(2)).learner.network
    moved = jax.tree.map(lambda old, new: old - new, *(eqx.filter(one, eqx.is_array) for one in (learner.network, found)))
    write = {
        "q": action.cell,
        "bellman": jax.tree.map(lambda leaf: COEF * leaf, bellman.cell),
        "both": jax.tree.map(lambda one, other: one + COEF * other, action.cell, bellman.cell),
    }
    expected = critic.critic, action.action_head, write[objective]
    for one, other in zip((moved.critic, moved.action_head, moved.cell), expected, strict=True):
        vectors = [ravel_pytree(eqx.filter(part, eqx.is_array))[0] for part in (one, other)]
        assert jnp.allclose(*vectors, atol=1e-12)
    silent = objective == "bellman" and not sees
    assert (jnp.abs(ravel_pytree(moved.cell)[0]).max() == 0) == silent, "a critic without the memory teaches it nothing"


@pytest.mark.slow
def test_memory_actor_critic_learns_past_the_end_of_a_window():
    """With windows of one step, the only credit of a write is ∂Q/∂w; a critic that does not see the memory gives none."""
    for sees in (True, False):
        agent = make(sees=sees, sequence_length=1, bellman_coef=0.0)
        state = trained(sees)
        steps = drawn(agent, state)
        found = eqx.filter_jit(agent.improve)(state.learner, steps, jnp.ones(6), jax.random.key(2)).learner.network
        moves = ravel_pytree(found.cell)[0] != ravel_pytree(state.learner.network.cell)[0]
        assert bool(moves.any()) == sees


@pytest.mark.slow
@pytest.mark.parametrize("load", [True, False])
def test_memory_actor_critic_writes_recomputed_memories_back(load):
    """The memories after the first of a window are those of the new policy; nothing else in the replay changes."""
    agent = make(batch_size=1, load_memory=load)
    state = trained()
    learner, replay, _ = eqx.filter_jit(agent._gradient_step)(state.learner, state.replay, jax.random.key(5))
    draw_key, _ = jax.random.split(jax.random.key(5))
    (slot, start), steps, _ = agent._draw(state.replay, draw_key)
    at, cell = [(int(start[0]) + t) % agent.capacity for t in range(4)], learner.network.cell
    expected = jax.tree.map(lambda leaf: leaf[0, 0], steps.extras) if load else cell.initial()
    for t in range(3):
        if steps.first[0, t]:
            expected = cell.initial()
        expected, _ = cell(expected, steps.observation[0, t])
        stored = jax.tree.map(lambda leaf, t=t: leaf[int(slot[0]), at[t + 1]], replay.steps.extras)
        assert jax.tree.all(jax.tree.map(jnp.allclose, stored, expected))
    both = replay.steps, state.replay.steps
    changed = jax.tree.map(lambda new, old: (new != old).reshape(*new.shape[:2], -1).any(-1), *both)
    whole = jax.tree.reduce(jnp.logical_or, changed)
    assert {(int(i), int(j)) for i, j in zip(*jnp.nonzero(whole), strict=True)} <= {(int(slot[0]), t) for t in at[1:]}
    assert whole.any(), "control: stored memories had noise"


@pytest.mark.slow
def test_memory_actor_critic_draws_windows_within_episodes():
    agent = make(sequence_length=4, within_episodes=True)  # an episode and its last observation
    state = after(agent, 8)
    _, steps, weight = agent._draw(state.replay, jax.random.key(0))
    assert jnp.array_equal(steps.first, jnp.broadcast_to(jnp.arange(5) == 0, (6, 5)))
    assert jnp.array_equal(weight, jnp.ones(6))
    assert int(state.learner.gradient_steps) > 0


@pytest.mark.slow
def test_memory_actor_critic_noise_of_writes_is_clipped():
    agent = make(memory_bound=0.05)
    state = after(agent, 1)  # before the first gradient step, which writes recomputed memories
    memories = ravel_pytree(state.replay.steps.extras)[0]
    assert jnp.abs(memories).max() == 0.05
    greedy, noisy = agent.policy(state.learner.network), agent.behaviour(state.learner.network)
    seen = agent.env.observe(agent.env.reset(jax.random.key(0)))

    def written(policy):
        return ravel_pytree(policy(policy.initial(), seen, jnp.array(True), jax.random.key(1))[0].memory)[0]

    assert not jnp.array_equal(written(greedy), written(noisy))


def test_memory_actor_critic_refuses_bad_input():
    with pytest.raises(InputError, match="that of MLP is none"):
        make(cell=MLP).init(jax.random.key(0))
    with pytest.raises(InputError, match="continuous actions between bounds"):
        make(TMaze(3)).init(jax.random.key(0))
    with pytest.raises(InputError, match="memory_bound=0"):
        make(memory_bound=0.0)
    with pytest.raises(InputError, match="q_coef=-1"):
        make(q_coef=-1.0)
    with pytest.raises(InputError, match="a window has 6 steps, but an episode of HighLow has at most 5"):
        make(sequence_length=5, within_episodes=True)
    agent, network = make(Target()), make().network(HighLow(), key=jax.random.key(0))
    with pytest.raises(InputError, match="make it with MemoryActorCriticNetwork"):
        agent.begin(network, jax.random.key(0))
    with pytest.raises(InputError, match="first_size=0"):
        MemoryActorCriticNetwork(functools.partial(GRU, size=3), first_size=0)


def test_memory_of_matrices_is_a_memory_state():
    agent = make(cell=lambda inputs, size, key: DeltaNet(inputs, 4, key=key))
    assert agent.behaviour(agent.network(agent.env, key=jax.random.key(0))).write_space.shape[0] > 0
