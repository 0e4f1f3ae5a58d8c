"""Scripted players, which see the states of worlds: their returns show what there is to gain."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv
from farback.envs.raycast.camera import Pose
from farback.envs.raycast.maze import MazeState
from farback.envs.raycast.memory_maze import MemoryMazeState
from farback.envs.raycast.shortest import AHEAD, steps_to
from farback.envs.raycast.take_cover import STRIDE as SIDESTEP
from farback.envs.raycast.take_cover import WIDTH, TakeCoverState
from farback.envs.raycast.two_colors import HEADINGS, ITEMS, MOVES, REACH, SIDE, STRIDE, TwoColorsState
from farback.envs.raycast.walking import FORWARD, LEFT, MARGIN, RIGHT
from farback.envs.raycast.watermaze import HEADINGS as TWELFTHS
from farback.envs.raycast.watermaze import WatermazeState
from farback.envs.spaces import sample

Act = Callable[[Any, Any, PRNGKeyArray], tuple[Any, Int[Array, ""]]]


class Player(NamedTuple):
    """A way to play: a memory, and a function of (memory, state, key) that returns (memory, action)."""

    memory: Any
    act: Act


def without_memory(act: Callable[[Any, PRNGKeyArray], Int[Array, ""]]) -> Player:
    """A player whose actions depend on the state alone."""
    return Player((), lambda memory, state, key: (memory, act(state, key)))


def at_random(env: AbstractEnv) -> Player:
    """Plays uniformly random actions."""
    return without_memory(lambda state, key: sample(env.action_space, key))


class Played(NamedTuple):
    """The return and the length of episodes, and whether they terminated."""

    returns: Float[Array, "*episodes"]
    lengths: Int[Array, "*episodes"]
    terminated: Bool[Array, "*episodes"]


@eqx.filter_jit
def play(env: AbstractEnv, player: Player, episodes: int, key: PRNGKeyArray) -> Played:
    """Plays episodes."""
    return jax.tree.map(lambda leaf: leaf[:, 0], play_trials(env, (player,), episodes, key))


@eqx.filter_jit
def play_trials(env: AbstractEnv, players: Sequence[Player], trials: int, key: PRNGKeyArray) -> Played:
    """Plays trials `[trial, episode]`, whose episodes are in one world. Each episode has a player of its own."""
    longest = env.max_episode_steps
    assert longest is not None

    def episode(player, state, key):
        def one(carry, key):
            state, memory, goes_on = carry
            act_key, step_key = jax.random.split(key)
            memory, action = player.act(memory, state, act_key)
            state, (reward, terminated, truncated) = env.step(state, action, step_key)
            now = Played(jnp.where(goes_on, reward, 0.0), goes_on.astype(int), goes_on & terminated)
            return (state, memory, goes_on & ~(terminated | truncated)), now

        start = state, player.memory, jnp.array(True)
        (state, *_), now = jax.lax.scan(one, start, jax.random.split(key, longest))
        return state, Played(jnp.sum(now.returns), jnp.sum(now.lengths), jnp.any(now.terminated))

    def trial(key):
        start_key, *keys = jax.random.split(key, len(players) + 1)
        state, played = env.reset(start_key), []
        for number, (player, key) in enumerate(zip(players, keys, strict=True)):
            again_key, key = jax.random.split(key)
            state = env.reset_same_world(state, again_key) if number else state
            state, found = episode(player, state, key)
            played.append(found)
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *played)

    return jax.vmap(trial)(jax.random.split(key, trials))


@without_memory
def shortest_way(state: MazeState, key: PRNGKeyArray) -> Int[Array, ""]:
    """Takes a shortest way to the target of a `Maze`, with whole steps and quarter turns."""
    del key
    return _onward(steps_to(state.world.grid, state.world.target), state)


@without_memory
def shortest_ways(state: MemoryMazeState, key: PRNGKeyArray) -> Int[Array, ""]:
    """Takes a shortest way to the thing that a `MemoryMaze` asks for."""
    del key
    return _onward(steps_to(state.grid, state.things[state.wanted]), state)


def _onward(steps, state):
    column, row = jnp.floor(state.position).astype(int) // 2
    return jnp.argmin(steps[row, column, state.heading])


def _follow_left_wall(turned_left, state: MazeState, key: PRNGKeyArray):
    del key
    column, row = jnp.floor(state.position).astype(int)

    def is_open(heading):
        x, y = jnp.array(AHEAD)[heading % 4]
        return state.world.grid[row + y, column + x] == 0

    turns_left = is_open(state.heading - 1) & ~turned_left
    action = jnp.where(turns_left, LEFT, jnp.where(is_open(state.heading), FORWARD, RIGHT))
    return turns_left, action


left_wall = Player(np.array(False), _follow_left_wall)
"""Keeps the wall of a `Maze` on the left, with whole steps and quarter turns: it comes to every cell."""


@without_memory
def straight_back(state: WatermazeState, key: PRNGKeyArray) -> Int[Array, ""]:
    """Swims straight to the hidden platform of a `Watermaze`."""
    del key
    pose = Pose.after_turns(state.position, state.heading, TWELFTHS)
    angle = _bearing(pose, state.platform)
    ahead = jnp.abs(angle) <= math.pi / TWELFTHS + 1e-6
    return jnp.where(ahead, FORWARD, jnp.where(angle < 0, LEFT, RIGHT))


def _bearing(pose, places):
    """The angles of places from the direction of a view, to the right."""
    apart = places - pose.position
    return jnp.arctan2(apart @ pose.right, apart @ pose.forward)


@without_memory
def collect(state: TwoColorsState, key: PRNGKeyArray) -> Int[Array, ""]:
    """Goes for the nearest thing that heals in `TwoColors`, in the direction closest to it that meets no other thing."""
    del key
    pose = Pose.after_turns(state.position, state.heading, HEADINGS)
    heals = (jnp.arange(2 * ITEMS) < ITEMS) == state.red_heals
    distance, bearing = jnp.linalg.norm(state.items - pose.position, axis=1), _bearing(pose, state.items)
    apart = jnp.linalg.norm(state.items[:, None] - state.items, axis=-1)
    alone = heals & ~jnp.any((apart < 2 * REACH) & ~heals, axis=1)
    wanted = jnp.where(jnp.any(alone), alone, heals)
    goal = jnp.argmin(jnp.where(wanted, distance + 0.6 * jnp.abs(bearing), jnp.inf))
    turns = jnp.arange(HEADINGS) - HEADINGS // 2
    angles = turns.astype(float) * (2 * math.pi / HEADINGS)

    def is_free(length):
        """Whether a straight way in each direction meets no thing that hurts, and no wall."""
        along = distance[:, None] * jnp.cos(bearing[:, None] - angles)
        aside = distance[:, None] * jnp.abs(jnp.sin(bearing[:, None] - angles))
        met = ~heals[:, None] & (along > 0) & (along < length + REACH) & (aside < REACH + 0.05)
        end = pose.position + length * (jnp.cos(angles)[:, None] * pose.forward + jnp.sin(angles)[:, None] * pose.right)
        return ~jnp.any(met, axis=0) & jnp.all((end > 1 + MARGIN) & (end < SIDE + 1 - MARGIN), axis=1)

    free = is_free(jnp.clip(distance[goal] - REACH, STRIDE, 1.5))
    off = jnp.abs(angles - bearing[goal])
    chosen = turns[jnp.argmin(jnp.minimum(off, 2 * math.pi - off) + 0.2 * jnp.abs(angles) + jnp.where(free, 0.0, 100.0))]
    turn = jnp.sign(chosen)
    goes = is_free(STRIDE)[HEADINGS // 2 + turn] & (jnp.abs(chosen - turn) <= 2)
    return jnp.argmax(jnp.all(jnp.array(MOVES) == jnp.stack([turn, goes.astype(int)]), axis=1))


@without_memory
def dodge(state: TakeCoverState, key: PRNGKeyArray) -> Int[Array, ""]:
    """Goes to the near place in `TakeCover` that is farthest from where fireballs arrive; the next ones count the most."""
    del key
    steps = jnp.maximum(state.fireballs[:, 0] - 0.5, 0.0) / jnp.maximum(-state.velocities[:, 0], 1e-6)
    arrivals = state.fireballs[:, 1] + steps * state.velocities[:, 1]
    places = jnp.linspace(0.3, WIDTH - 0.3, 75)
    danger = jnp.sum(jnp.where(state.flying, jnp.exp(-((places[:, None] - arrivals) ** 2)) / (steps + 3), 0.0), axis=1)
    way = places - state.position
    cost = danger + 0.004 * jnp.abs(way) + 1e-3 * (places - WIDTH / 2) ** 2
    chosen = way[jnp.argmin(jnp.where(jnp.abs(way) <= 8 * SIDESTEP, cost, jnp.inf))]
    return jnp.where(jnp.abs(chosen) < SIDESTEP / 2, 0, jnp.where(chosen < 0, 1, 2))
