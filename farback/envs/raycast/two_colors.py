"""Survive among things of two colours, one of which heals; a column shows which at the beginning of an episode."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.envs.base import Feedback
from farback.envs.raycast.base import AbstractRaycastEnv, View
from farback.envs.raycast.camera import Pose, Sprites
from farback.envs.raycast.textures import COLUMN, GREEN, RED
from farback.envs.raycast.walking import walk
from farback.types import InputError

SIDE = 10
"""The blocks along each side of the room."""
ITEMS = 10
"""The number of things of each colour."""
HEADINGS = 24
MOVES = (-1, 0), (1, 0), (0, 1), (-1, 1), (1, 1)
"""The turns to the right and the steps forward of each action."""
REACH = 0.4
"""The distance, in blocks, at which a thing is taken."""
STRIDE = 0.25
"""The length of a step forward, in blocks."""
START, COLUMN_AT = (4.0, 2.0), (5.0, 3.0)
"""Where the agent begins, facing the column, and where the column stands, in blocks."""
FULL, CHANGE, ACID = 100.0, 25.0, 1.0
"""The health at the beginning, which is the most; what a thing changes it by; and what the floor takes in each step."""
ALIVE = 0.02


class TwoColorsState(NamedTuple):
    """The state.

    - `red_heals`: whether red things heal.
    - `items`: where the things are, red ones first.
    - `position`, `heading`: where the agent is and looks, in turns from the direction of x.
    - `health`: its health.
    - `time`: the steps since the beginning.
    """

    red_heals: Bool[Array, ""]
    items: Float[Array, "items 2"]
    position: Float[Array, "2"]
    heading: Int[Array, ""]
    health: Float[Array, ""]
    time: Int[Array, ""]


class TwoColors(AbstractRaycastEnv):
    """Takes things of one colour and leaves those of the other. A column of the healing colour stands before the agent
    for the first steps, and then is gone.

        health   −1 for each step, +25 (up to 100) for a thing of the healing colour, −25 for one of the other
        reward   0.02 for each step, +1 for a thing of the healing colour, −1 for one of the other

    An episode ends without health, or is cut off after 1,050 steps: its length is what counts. There are ten things of
    each colour in a room of 10 × 10 blocks; one that is taken appears at another place. Actions turn left or right, go
    forward, or go forward and turn. Without a step into a thing, the health lasts for 100 steps.

        optimum = 101.9 by a player that sees all things,      random = 1.93        with the default arguments

    **Arguments:**

    - `shown`: the number of steps for which the column stands.
    - `horizon`: the number of steps of the longest episode.
    - `width`, `height`, `field`: the size of the picture in pixels, and the field of view in degrees.

    Reference: the setting of Beeching et al., *Deep reinforcement learning on a budget: 3D control and reasoning without a
    supercomputer*, 2019, as changed by Sorokin et al., *Explain my surprise*, NeurIPS 2022, section 4.3. There, more things
    appear with time, instead of those that were taken.
    """

    shown: int = 45
    horizon: int = 1050
    width: int = 40
    height: int = 30
    field: float = 90.0
    played = 101.9, 1.93
    lit = 12.0

    def __check_init__(self):
        if self.shown < 1 or self.horizon <= self.shown:
            raise InputError(
                f"TwoColors(shown={self.shown}, horizon={self.horizon}): the column is seen, and then is gone; give "
                f"1 <= shown < horizon."
            )

    @property
    def action_space(self) -> Discrete:
        return Discrete(len(MOVES))

    @property
    def max_episode_steps(self) -> int:
        return self.horizon

    def reset(self, key: PRNGKeyArray) -> TwoColorsState:
        colour_key, items_key = jax.random.split(key)
        red_heals = jax.random.bernoulli(colour_key)
        position, heading = jnp.array(START), jnp.array(HEADINGS // 8)
        return TwoColorsState(red_heals, _places(items_key), position, heading, jnp.array(FULL), jnp.zeros((), int))

    def view(self, state: TwoColorsState) -> View:
        pose = Pose.after_turns(state.position, state.heading, HEADINGS)
        kinds = jnp.repeat(jnp.array([RED, GREEN]), ITEMS)
        column = jnp.where(state.red_heals, COLUMN + RED, COLUMN + GREEN)
        sprites = Sprites(
            jnp.concatenate([state.items, jnp.array([COLUMN_AT])]),
            jnp.append(kinds, column),
            jnp.append(jnp.full(2 * ITEMS, 0.35), 1.0),
            jnp.append(jnp.ones(2 * ITEMS, bool), state.time < self.shown),
        )
        return View(_room(), pose, sprites)

    def step(self, state: TwoColorsState, action: Any, key: PRNGKeyArray) -> tuple[TwoColorsState, Feedback]:
        turn, forward = jnp.array(MOVES)[action]
        heading = (state.heading + turn) % HEADINGS
        ahead = Pose.after_turns(state.position, heading, HEADINGS).forward
        position = jnp.where(forward == 1, walk(_room(), state.position, ahead, STRIDE)[0], state.position)
        taken = jnp.linalg.norm(state.items - position, axis=1) < REACH
        red, green = taken[:ITEMS].sum(), taken[ITEMS:].sum()
        gain = jnp.where(state.red_heals, red - green, green - red).astype(float)
        health = jnp.minimum(state.health + CHANGE * gain, FULL) - ACID
        items = jnp.where(taken[:, None], _places(key), state.items)
        state = TwoColorsState(state.red_heals, items, position, heading, health, state.time + 1)
        dead = health <= 0
        return state, Feedback(ALIVE + gain, dead, ~dead & (state.time >= self.horizon))

    def cue(self, state: TwoColorsState) -> Bool[Array, ""]:
        return state.time < self.shown


def _room() -> Int[Array, "rows columns"]:
    """A square room with walls of one texture, which has no colour of the things."""
    return jnp.pad(jnp.zeros((SIDE, SIDE), int), 1, constant_values=5)


def _places(key: PRNGKeyArray) -> Float[Array, "items 2"]:
    """A random place for each thing."""
    return jax.random.uniform(key, (2 * ITEMS, 2), minval=1.5, maxval=SIDE + 0.5)
