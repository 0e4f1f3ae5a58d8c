"""The picture that follows the car."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8, UInt32

from farback.envs.car_racing.car import HULL, WHEEL_HALF_WIDTH, WHEEL_RADIUS, WHEELS, Car, axes
from farback.envs.car_racing.track import HALF_WIDTH, KERB, MOST_TILES, PLAYFIELD, Track

WIDTH, HEIGHT = 1000 / 16.2, 800 / 16.2
"""The size of the field that a picture shows."""
CAR_AT = 0.75
"""The row of the car, in parts of the picture."""
STRIP = 0.125
"""The height of the strip with indicators, in parts of the picture."""
LAWN = PLAYFIELD / 20
"""The side of the squares of the grass."""
TILES, POLYGONS = 40, 48
"""The most tiles in a picture, and the most tiles and kerbs. In a thousand pictures, one has more."""
BLOCK = 20
AT_ONCE = 16
"""The polygons that are drawn in one pass."""
SAMPLES = 4
"""The samples along x, and along y, for each pixel of the car."""
NOTHING, FLAT, WHITE, RED = 0, 1, 4, 5
"""What a pixel shows: grass; a tile, whose three shades are `FLAT` and the two numbers after it; or a kerb."""
MARK = 1.2
"""The angle, in radians, of the white mark on a wheel."""


def pack(red: int, green: int, blue: int) -> np.uint32:
    """A colour in one number."""
    return np.uint32(red | green << 8 | blue << 16)


GRASS, BRIGHT_GRASS = pack(102, 204, 102), pack(102, 230, 102)
ROAD = pack(102, 102, 102), pack(104, 104, 104), pack(107, 107, 107)
KERBS = pack(255, 255, 255), pack(255, 0, 0)
HULL_RED, MARK_GREY = 204.0, 77.0


def picture(track: Track, visited: Bool[Array, " tiles"], car: Car, size: int) -> UInt8[Array, "size size 3"]:
    """Returns what the agent sees: the road around the car, which looks up, and below it a strip with indicators.

    Pixels of the field show what is at their middle; car and indicators are averaged over pixels.
    """
    strip = round(STRIP * size)
    shown = _road(track, visited, car, size, size - strip)
    field = _coloured(shown, car, size)
    seen = jax.lax.bitcast_convert_type(field, jnp.uint8)[..., :3]
    seen = _with_car(seen, car, size)
    return jnp.concatenate([seen, _indicators(car, size, strip)])


def _road(track, visited, car, size, rows) -> UInt8[Array, "rows columns"]:
    """What each pixel of the field shows."""
    across, ahead = axes(car.angle)
    right, down = across * (size / WIDTH), ahead * (-size / HEIGHT)
    apart = track.points - car.place[:, None]
    line = (_along(apart, right) + size / 2, _along(apart, down) + CAR_AT * size)
    width = _along(track.across, right), _along(track.across, down)
    tiles = _first(_in_view(line, width, size, rows) & track.is_tile, TILES)
    there, tiles = tiles < MOST_TILES, jnp.minimum(tiles, MOST_TILES - 1)
    lines = jnp.stack([*line, *width])
    near, far, side = lines[:, tiles], lines[:, tiles + 1], track.kerbs[tiles].astype(apart.dtype)
    shade = jnp.where(visited[tiles], FLAT, FLAT + tiles % 3)
    codes = jnp.concatenate([shade, jnp.where(tiles % 2 == 0, WHITE, RED)]).astype(jnp.uint8)
    inner = jnp.concatenate([jnp.full(TILES, -HALF_WIDTH), side * HALF_WIDTH])
    outer = jnp.concatenate([jnp.full(TILES, HALF_WIDTH), side * (HALF_WIDTH + KERB)])
    chosen = _first(jnp.concatenate([there, there & (side != 0)]), POLYGONS)
    there, chosen = chosen < 2 * TILES, jnp.minimum(chosen, 2 * TILES - 1)
    near, far, inner, outer = near[:, chosen % TILES], far[:, chosen % TILES], inner[chosen], outer[chosen]
    corners = [end[:2] + by * end[2:] for end, by in ((near, inner), (near, outer), (far, outer), (far, inner))]
    begin, length = _spans(jnp.stack(corners), there, size, rows)
    column = jnp.arange(size).astype(begin.dtype)

    def paint(shown, polygons):
        for begin, length, code in zip(*polygons, strict=True):
            shown = jnp.where(column - begin[:, None] < length[:, None], code, shown)
        return shown, None

    passes = jax.tree.map(lambda leaf: leaf.reshape(-1, AT_ONCE, *leaf.shape[1:]), (begin, length, codes[chosen]))
    return jax.lax.scan(paint, jnp.full((rows, size), NOTHING, jnp.uint8), passes)[0]


def _along(vectors, axis):
    """The products of vectors, given by their coordinates, with one vector."""
    return vectors[0] * axis[0] + vectors[1] * axis[1]


def _in_view(line, width, size, rows) -> Bool[Array, " tiles"]:
    """Which tiles, with their kerbs, may be in the picture."""
    seen = []
    for middle, half, most in zip(line, width, (size, rows), strict=True):
        reach = (HALF_WIDTH + KERB) * jnp.abs(half)
        low, high = middle - reach, middle + reach
        seen.append((jnp.maximum(high[:-1], high[1:]) > 0) & (jnp.minimum(low[:-1], low[1:]) < most))
    return seen[0] & seen[1]


def _first(chosen: Bool[Array, " all"], count: int) -> Int[Array, " count"]:
    """The indices of the first `count` true values, and then the number of all values: a fast `jnp.nonzero`.

    The ranks are sums within blocks, and sums of blocks, by products with matrices.
    """
    blocks = chosen.reshape(-1, BLOCK).astype(float)
    within = blocks @ jnp.triu(jnp.ones((BLOCK, BLOCK)))
    before = within[:, -1] @ jnp.triu(jnp.ones((len(blocks), len(blocks))), 1)
    rank = (within + before[:, None]).ravel().astype(int) - 1
    places = jnp.where(chosen, rank, count)
    return jnp.full(count, len(chosen)).at[places].set(jnp.arange(len(chosen)), mode="drop", unique_indices=True)


def _spans(corners: Float[Array, "4 2 polygons"], there: Bool[Array, " polygons"], size: int, rows: int):
    """The first pixel of each polygon in each row, and the number of its pixels."""
    middles = jnp.arange(float(rows)) + 0.5
    low = jnp.full((len(there), rows), math.inf)
    high = -low
    for corner in range(4):
        (x, y), (next_x, next_y) = corners[corner, ..., None], corners[corner - 1, ..., None]
        crosses = (y <= middles) != (next_y <= middles)
        slope = (next_x - x) / jnp.where(next_y == y, 1.0, next_y - y)
        place = x + (middles - y) * slope
        low = jnp.where(crosses, jnp.minimum(low, place), low)
        high = jnp.where(crosses, jnp.maximum(high, place), high)
    dtype = jnp.uint8 if size < 256 else jnp.uint16
    begin, end = (jnp.clip(jnp.ceil(place - 0.5), 0, size) for place in (low, high))
    width = jnp.where(there[:, None], jnp.maximum(end - begin, 0), 0)
    return begin.astype(dtype), width.astype(dtype)


def _coloured(shown, car, size) -> UInt32[Array, "rows columns"]:
    """The colours of what the pixels of the field show."""
    across, ahead = axes(car.angle)
    x = (jnp.arange(float(size)) + 0.5 - size / 2) * (WIDTH / size)
    y = (CAR_AT * size - jnp.arange(float(len(shown))) - 0.5) * (HEIGHT / size)
    place_x = car.place[0] + x * across[0] + y[:, None] * ahead[0]
    place_y = car.place[1] + x * across[1] + y[:, None] * ahead[1]
    square = jnp.floor(place_x / LAWN).astype(jnp.int32) | jnp.floor(place_y / LAWN).astype(jnp.int32)
    lawn = jnp.where(square & 1 == 0, BRIGHT_GRASS, GRASS)
    lawn = jnp.where(jnp.maximum(jnp.abs(place_x), jnp.abs(place_y)) > PLAYFIELD, jnp.uint32(0), lawn)
    colours = lawn
    for code, colour in enumerate((*ROAD, *KERBS), FLAT):
        colours = jnp.where(shown == code, colour, colours)
    return colours


@functools.cache
def _car_patch(size: int):
    """The rows and columns of the pixels of the car, the places of their samples, and which of those show the hull."""
    edges = np.concatenate(HULL)
    reach = np.abs(WHEELS[:, 0]).max() + math.hypot(WHEEL_HALF_WIDTH, WHEEL_RADIUS)
    columns = slice(math.floor(size / 2 - reach * size / WIDTH), math.ceil(size / 2 + reach * size / WIDTH))
    top, bottom = (CAR_AT * size - edges[:, 1].max() * size / HEIGHT, CAR_AT * size - edges[:, 1].min() * size / HEIGHT)
    rows = slice(math.floor(top), math.ceil(bottom))
    parts = (np.arange(SAMPLES) + 0.5) / SAMPLES
    x = (np.arange(columns.start, columns.stop)[:, None] + parts - size / 2) * WIDTH / size
    y = (CAR_AT * size - np.arange(rows.start, rows.stop)[:, None] - parts) * HEIGHT / size
    samples = np.stack(np.broadcast_arrays(x[None, :, None, :], y[:, None, :, None]), -1)
    samples = samples.reshape(*samples.shape[:2], SAMPLES**2, 2)
    hull = np.zeros(samples.shape[:3], bool)
    for polygon in HULL:
        side = np.roll(polygon, -1, axis=0) - polygon
        apart = samples[..., None, :] - polygon
        cross = side[:, 0] * apart[..., 1] - side[:, 1] * apart[..., 0]
        hull |= (cross >= 0).all(-1) | (cross <= 0).all(-1)
    return rows, columns, samples, hull


def _with_car(seen, car, size):
    rows, columns, samples, hull = _car_patch(size)
    zero = jnp.zeros(())
    angles = jnp.stack([car.steering, car.steering, zero, zero])
    begin, end = jnp.sin(car.phases), jnp.sin(car.phases + MARK)
    marks = []
    for sine, cosine in ((begin, jnp.cos(car.phases)), (end, jnp.cos(car.phases + MARK))):
        marks.append(WHEEL_RADIUS * jnp.where(sine > 0, jnp.sign(cosine), cosine))
    marked = (begin <= 0) | (end <= 0)
    black, grey = jnp.zeros(hull.shape, bool), jnp.zeros(hull.shape, bool)
    for wheel in range(4):
        apart = jnp.asarray(samples - WHEELS[wheel])
        sine, cosine = jnp.sin(angles[wheel]), jnp.cos(angles[wheel])
        aside = cosine * apart[..., 0] + sine * apart[..., 1]
        ahead = cosine * apart[..., 1] - sine * apart[..., 0]
        inside = (jnp.abs(aside) <= WHEEL_HALF_WIDTH) & (jnp.abs(ahead) <= WHEEL_RADIUS) & ~hull
        low, high = jnp.minimum(marks[0][wheel], marks[1][wheel]), jnp.maximum(marks[0][wheel], marks[1][wheel])
        black |= inside
        grey |= inside & marked[wheel] & (ahead >= low) & (ahead <= high)
    under = 1 - jnp.mean((black | hull).astype(float), axis=-1, keepdims=True)
    marks = MARK_GREY * jnp.mean(grey.astype(float), axis=-1, keepdims=True)
    red = jnp.asarray(hull.mean(-1, keepdims=True) * np.array([HULL_RED, 0, 0]))
    patch = under * seen[rows, columns].astype(float) + marks + red
    return seen.at[rows, columns].set(patch.astype(jnp.uint8))


def _indicators(car, size, strip) -> UInt8[Array, "strip columns 3"]:
    """White for the speed, blue for the rolling of the wheels, green for the steering, and red for the spin."""
    speed = jnp.linalg.norm(car.velocity)
    heights = jnp.concatenate([0.02 * speed[None], 0.01 * car.rolling])
    places = jnp.array([5.0, 7.0, 8.0, 9.0, 10.0])
    lengths = jnp.stack([-10 * car.steering, -0.8 * car.spin])
    middles = jnp.array([20.0, 30.0])
    ones = jnp.ones(2)
    top = jnp.concatenate([39 - jnp.maximum(heights, 0), 36 * ones])
    bottom = jnp.concatenate([39 - jnp.minimum(heights, 0), 38 * ones])
    left = jnp.concatenate([places, jnp.minimum(middles, middles + lengths)])
    right = jnp.concatenate([places + 1, jnp.maximum(middles, middles + lengths)])
    colours = [[255, 255, 255], [0, 0, 255], [0, 0, 255], [51, 0, 255], [51, 0, 255], [0, 255, 0], [255, 0, 0]]
    down = _covered(top, bottom, jnp.arange(float(strip)) + (size - strip), size)
    along = _covered(left, right, jnp.arange(float(size)), size)
    shades = along[:, :, None] * jnp.asarray(np.array(colours, float))[:, None].astype(along.dtype)
    return jnp.clip(jnp.tensordot(down, shades, ((0,), (0,))), 0, 255).astype(jnp.uint8)


def _covered(low, high, pixels, size):
    """Which part of each pixel a bar from `low` to `high` covers, in fortieths of the picture."""
    scale = size / 40
    return jnp.clip(jnp.minimum(scale * high[:, None], pixels + 1) - jnp.maximum(scale * low[:, None], pixels), 0, 1)
