"""Keep out of the way of fireballs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.envs.base import Feedback
from farback.envs.raycast.base import AbstractRaycastEnv, View
from farback.envs.raycast.camera import Pose, Sprites
from farback.envs.raycast.textures import FIREBALL, MONSTER
from farback.types import InputError

DEPTH, WIDTH = 12, 8
"""The blocks of the room from the agent's wall to the monsters', and along these walls."""
MONSTERS, EVERY = 8, 100
"""The most monsters, and the steps from the appearance of one to that of the next."""
THROW = 1 / 90
"""The chance that a monster without a fireball in the air throws one, in each step."""
SPEED, STRIDE, REACH = 0.4, 0.2, 0.4
"""The length of a step of a fireball and of the agent, and the distance at which a fireball hits; in blocks."""


class TakeCoverState(NamedTuple):
    """The state: places in blocks along the walls, and for fireballs also from the agent's wall.

    - `position`: where the agent is.
    - `monsters`: where the monsters are.
    - `fireballs`, `velocities`: where the fireball of each monster is, and its step.
    - `flying`: whether it is in the air.
    - `time`: the steps since the beginning.
    """

    position: Float[Array, ""]
    monsters: Float[Array, " monsters"]
    fireballs: Float[Array, "monsters 2"]
    velocities: Float[Array, "monsters 2"]
    flying: Bool[Array, " monsters"]
    time: Int[Array, ""]


class TakeCover(AbstractRaycastEnv):
    """Monsters at the far wall throw fireballs at where the agent is; a hit ends the episode. Each step has reward 1.

    The agent looks at the far wall, and moves along its own: actions stay, go left, and go right. One monster is there
    from the beginning, and another appears every 100 steps, up to eight. Each has one fireball in the air at most.

        optimum = 1294.0 by a player that sees all fireballs,      random = 195.5        with the default arguments

    **Arguments:**

    - `horizon`: the number of steps of the longest episode.
    - `width`, `height`, `field`: the size of the picture in pixels, and the field of view in degrees.

    Reference: the setting of the ViZDoom scenario of this name (Kempka et al., 2016), in which Ha and Schmidhuber, *World
    models*, 2018, train within a dream.
    """

    horizon: int = 2100
    width: int = 64
    height: int = 64
    field: float = 90.0
    played = 1294.0, 195.5
    lit = 12.0

    def __check_init__(self):
        if self.horizon < 1:
            raise InputError(f"TakeCover(horizon={self.horizon}): give horizon >= 1.")

    @property
    def action_space(self) -> Discrete:
        return Discrete(3)

    @property
    def max_episode_steps(self) -> int:
        return self.horizon

    def reset(self, key: PRNGKeyArray) -> TakeCoverState:
        monsters = jax.random.uniform(key, (MONSTERS,), minval=0.5, maxval=WIDTH - 0.5)
        nowhere, still = jnp.zeros((MONSTERS, 2)), jnp.zeros(MONSTERS, bool)
        return TakeCoverState(jnp.array(WIDTH / 2), monsters, nowhere, nowhere, still, jnp.zeros((), int))

    def view(self, state: TakeCoverState) -> View:
        there = jnp.arange(MONSTERS) * EVERY <= state.time
        far = jnp.full(MONSTERS, DEPTH - 0.5)
        places = jnp.concatenate([jnp.stack([far, state.monsters], axis=1), state.fireballs])
        kinds = jnp.repeat(jnp.array([MONSTER, FIREBALL]), MONSTERS)
        sizes = jnp.repeat(jnp.array([0.9, 0.5]), MONSTERS)
        sprites = Sprites(1 + places, kinds, sizes, jnp.concatenate([there, state.flying]))
        room = jnp.pad(jnp.zeros((WIDTH, DEPTH), int), 1, constant_values=3)
        return View(room, Pose(1 + jnp.stack([jnp.array(0.5), state.position]), jnp.array(0.0)), sprites)

    def step(self, state: TakeCoverState, action: Any, key: PRNGKeyArray) -> tuple[TakeCoverState, Feedback]:
        position = jnp.clip(state.position + STRIDE * jnp.array([0.0, -1.0, 1.0])[action], 0.3, WIDTH - 0.3)
        fireballs = state.fireballs + state.velocities
        here = jnp.stack([jnp.array(0.5), position])
        hit = jnp.any(state.flying & (jnp.linalg.norm(fireballs - here, axis=1) < REACH))
        flying = state.flying & (fireballs[:, 0] > 0)
        there = jnp.arange(MONSTERS) * EVERY <= state.time
        thrown = there & ~flying & jax.random.bernoulli(key, THROW, (MONSTERS,))
        hands = jnp.stack([jnp.full(MONSTERS, DEPTH - 1.0), state.monsters], axis=1)
        aim = (here - hands) / jnp.linalg.norm(here - hands, axis=1, keepdims=True)
        state = TakeCoverState(
            position,
            state.monsters,
            jnp.where(thrown[:, None], hands, fireballs),
            jnp.where(thrown[:, None], SPEED * aim, state.velocities),
            flying | thrown,
            state.time + 1,
        )
        return state, Feedback(jnp.array(1.0), hit, ~hit & (state.time >= self.horizon))
