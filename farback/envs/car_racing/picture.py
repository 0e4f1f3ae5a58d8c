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
POLYGONS = 48
"""The most tiles and kerbs in a picture."""
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
    view = axes(car.angle).T * jnp.array([size / WIDTH, -size / HEIGHT])
    points = (track.points - car.place) @ view + jnp.array([size / 2, CAR_AT * size])
    across = track.across @ view
    chosen = _in_view(points, across, track, size, rows)
    there = chosen < 2 * MOST_TILES
    tile, is_kerb = chosen % MOST_TILES, chosen >= MOST_TILES
    side = track.kerbs[tile].astype(points.dtype)
    inner = jnp.where(is_kerb, side * HALF_WIDTH, -HALF_WIDTH)[:, None]
    outer = jnp.where(is_kerb, side * (HALF_WIDTH + KERB), HALF_WIDTH)[:, None]
    near, far = (points[tile], across[tile]), (points[tile + 1], across[tile + 1])
    corners = [near[0] + inner * near[1], near[0] + outer * near[1], far[0] + outer * far[1], far[0] + inner * far[1]]
    begin, width = _spans(jnp.stack(corners, axis=1), there, size, rows)
    shade = jnp.where(visited[tile], FLAT, FLAT + tile % 3)
    code = jnp.where(is_kerb, jnp.where(tile % 2 == 0, WHITE, RED), shade).astype(jnp.uint8)
    column = jnp.arange(size).astype(begin.dtype)

    def paint(shown, polygons):
        for begin, width, code in zip(*polygons, strict=True):
            shown = jnp.where(column - begin[:, None] < width[:, None], code, shown)
        return shown, None

    passes = jax.tree.map(lambda leaf: leaf.reshape(-1, AT_ONCE, *leaf.shape[1:]), (begin, width, code))
    return jax.lax.scan(paint, jnp.full((rows, size), NOTHING, jnp.uint8), passes)[0]


def _in_view(points, across, track, size, rows) -> Int[Array, " polygons"]:
    """The numbers of tiles, and of kerbs after all tiles, that may be in the picture; fills up with a number above."""
    reach = (HALF_WIDTH + KERB) * jnp.abs(across)
    low, high = points - reach, points + reach
    low, high = jnp.minimum(low[:-1], low[1:]), jnp.maximum(high[:-1], high[1:])
    seen = jnp.all((high > 0) & (low < jnp.array([size, rows]).astype(low.dtype)), axis=1) & track.is_tile
    both = jnp.concatenate([seen, seen & (track.kerbs != 0)])
    return jnp.nonzero(both, size=POLYGONS, fill_value=2 * MOST_TILES)[0]


def _spans(corners: Float[Array, "polygons 4 2"], there: Bool[Array, " polygons"], size: int, rows: int):
    """The first pixel of each polygon in each row, and the number of its pixels."""
    middles = jnp.arange(float(rows)) + 0.5
    low = jnp.full((len(corners), rows), math.inf)
    high = -low
    for corner in range(4):
        (x, y), (next_x, next_y) = corners[:, corner].T[..., None], corners[:, (corner + 1) % 4].T[..., None]
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
    """White for the speed, blue for the rolling of the wheels, green for the steering, red for the spin, as in Gymnasium."""
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
