"""Random tracks: closed roads made of tiles."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

RADIUS = 150.0
"""The largest distance of checkpoints from the middle, but for the first and the last one, which are 1.5 times as far."""
PLAYFIELD = 2000 / 6
"""The playfield reaches from −PLAYFIELD to PLAYFIELD along x and y."""
STEP = 3.5
"""The distance between two points of the centre line."""
HALF_WIDTH = 40 / 6
KERB = 8 / 6
"""The width of a kerb."""
TURN_RATE = 0.31
"""The largest turn between two points, in radians."""
CHECKPOINTS = 12
MOST_TILES = 400
"""Tracks have some 295 ± 21 tiles; longer ones than this are drawn again."""
WALK = 2 * MOST_TILES
ATTEMPTS = 10
"""A track in about a hundred does not close and is drawn again, at most this often."""
HARD, LONG = 0.2, 4
"""A kerb lies on turns of more than HARD · TURN_RATE for at least LONG points."""
GATE = -math.pi / CHECKPOINTS
"""The direction from the middle in which a lap begins."""


class Track(NamedTuple):
    """A closed road. Tile i lies between the points i and i + 1 of the centre line; arrays are padded to `MOST_TILES`.

    - `points`: x and y of the centre line. The first point is the last one again.
    - `across`: x and y of the unit vectors across the road at each point, to the right.
    - `kerbs`: the side of each tile's kerb: −1 for left, 1 for right, 0 for none.
    - `tiles`: the number of tiles.
    """

    points: Float[Array, "2 points"]
    across: Float[Array, "2 points"]
    kerbs: Int[Array, " tiles"]
    tiles: Int[Array, ""]

    @property
    def angles(self) -> Float[Array, " points"]:
        """The direction in which the road goes at each point, in radians from the direction of y to the left."""
        return jnp.arctan2(self.across[1], self.across[0])

    @property
    def is_tile(self) -> Bool[Array, " tiles"]:
        """Which tiles are no padding."""
        return jnp.arange(MOST_TILES) < self.tiles


def draw_track(key: PRNGKeyArray) -> Track:
    """Draws a track by the recipe of Gymnasium's CarRacing.

    Twelve checkpoints lie around the middle: number c in a random direction α of its twelfth of the circle, and at a random
    distance from `RADIUS` / 3 to `RADIUS`. A walker goes round, from checkpoint to checkpoint, in steps of `STEP`. With
    d the distance of the next checkpoint to the right of the direction β of the walk, each step turns it to the checkpoint:

        β ← β − sign(d) min(TURN_RATE, 0.006 |d|)

    The second lap is the track, if its ends meet.
    """

    def once(key) -> Any:
        return _lap(_walk(_checkpoints(key)))

    def again(carried):
        _, closed, attempt, _ = carried
        return ~closed & (attempt < ATTEMPTS)

    def draw(carried):
        *_, attempt, key = carried
        key, draw_key = jax.random.split(key)
        return *once(draw_key), attempt + 1, key

    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(once, key))
    track: Any = jax.lax.while_loop(again, draw, (*empty, jnp.zeros((), int), key))[0]
    return track


def _checkpoints(key):
    """The directions of the checkpoints from the middle, and their places."""
    angle_key, radius_key = jax.random.split(key)
    number = jnp.arange(float(CHECKPOINTS))
    noise = jax.random.uniform(angle_key, (CHECKPOINTS,)).at[jnp.array([0, -1])].set(0.0)
    angles = 2 * math.pi / CHECKPOINTS * (number + noise)
    radii = jax.random.uniform(radius_key, (CHECKPOINTS,), minval=RADIUS / 3, maxval=RADIUS)
    radii = radii.at[jnp.array([0, -1])].set(1.5 * RADIUS)
    return angles, radii[:, None] * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)


def _walk(checkpoints):
    """The points of a walk: their directions from the middle, the directions of the walk, and their places."""
    directions, places = checkpoints

    def one(carry, _):
        place, beta, goal = carry
        alpha = jnp.arctan2(place[1], place[0])
        alpha = jnp.where(alpha < 0, alpha + 2 * math.pi, alpha)
        goal = jnp.maximum(goal, jnp.sum(directions < alpha))
        over = goal == CHECKPOINTS
        goal, alpha = jnp.where(over, 0, goal), jnp.where(over, alpha - 2 * math.pi, alpha)
        right = jnp.stack([jnp.cos(beta), jnp.sin(beta)])
        aside = (places[goal] - place) @ right
        beta = jnp.where(beta - alpha > 1.5 * math.pi, beta - 2 * math.pi, beta)
        beta = jnp.where(beta - alpha < -1.5 * math.pi, beta + 2 * math.pi, beta)
        turn = jnp.where(jnp.abs(aside) > 0.05, jnp.clip(0.006 * aside, -TURN_RATE, TURN_RATE), 0.0)
        place = place + STEP * jnp.stack([-right[1], right[0]])
        return (place, beta - turn, goal), (alpha, beta - turn / 2, place)

    start = jnp.array([1.5 * RADIUS, 0.0]), jnp.zeros(()), jnp.zeros((), int)
    return jax.lax.scan(one, start, None, WALK)[1]


def _lap(walk) -> tuple[Track, Bool[Array, ""]]:
    """The second lap of a walk, and whether its ends meet."""
    alpha, beta, places = walk
    passes = jnp.concatenate([jnp.array([False]), (alpha[1:] > GATE) & (alpha[:-1] <= GATE)])
    begin, end = jnp.nonzero(passes, size=2, fill_value=0)[0]
    tiles = end - begin - 1
    index = jnp.arange(MOST_TILES)
    around = jnp.where(index < tiles, begin + index, begin)
    angles, points = beta[around], places[around]
    gap = points[0] - points[tiles - 1]
    apart = jnp.hypot(jnp.cos(angles[0]) * gap[0], jnp.sin(angles[0]) * gap[1])
    closed = (tiles > LONG) & (tiles <= MOST_TILES) & (apart <= STEP)
    tiles = jnp.clip(tiles, LONG + 1, MOST_TILES)

    def rolled(values, by):
        return values[(index - by) % tiles]

    turns = angles - rolled(angles, 1)
    turns = turns - 2 * math.pi * jnp.round(turns / (2 * math.pi))
    sides = jnp.where(jnp.abs(turns) > HARD * TURN_RATE, -jnp.sign(turns), 0.0).astype(int)
    total = sum((rolled(sides, by) for by in range(1, LONG)), sides)
    hard = jnp.abs(total) == LONG
    kerbed = sum((rolled(hard, -by).astype(int) for by in range(1, LONG)), hard.astype(int)) > 0
    kerbs = jnp.where(kerbed & (index < tiles), -jnp.sign(turns).astype(int), 0)

    def closed_line(values):
        return jnp.concatenate([values[tiles - 1][None], values])

    line, angles = closed_line(points), closed_line(angles)
    return Track(line.T, jnp.stack([jnp.cos(angles), jnp.sin(angles)]), kerbs, tiles), closed
