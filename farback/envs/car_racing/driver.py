"""A scripted driver, which sees the state: its returns show what there is to gain."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from farback.envs.car_racing.car import Car, axes
from farback.envs.car_racing.track import MOST_TILES, STEP, TURN_RATE, Track

AHEAD, LOOK = 2.0, 0.12
"""The driver steers to the point this far ahead: points, and seconds of the way."""
BRAKING = 60.0
"""The deceleration that the driver expects of its brakes."""
HORIZON = 30
"""The points ahead whose turns the driver considers."""
FASTEST, SLOWEST = 75.0, 30.0
SPEED_GAIN, STEERING_GAIN = 0.2, 0.8
CORNERING = 120.0
"""The acceleration to the side that the driver allows itself in turns."""


def follow_road(track: Track, car: Car) -> Float[Array, "3"]:
    """Returns the action that follows the centre line.

    It steers in proportion to the angle between the car and a point ahead on the centre line. With κ the curvature of the
    road at a distance s, the car may have the speed

        v = min over s of √(CORNERING / κ + 2 BRAKING s)

    and gas and brake are in proportion to what is missing and to what is too much.
    """
    line, numbers = track.points[:, 1:], jnp.arange(MOST_TILES)
    place, (right, forward) = car.place, axes(car.angle)
    distance = jnp.sum((line - place[:, None]) ** 2, axis=0)
    nearest = jnp.argmin(jnp.where(track.is_tile, distance, jnp.inf))
    speed = jnp.linalg.norm(car.velocity)
    target = (nearest + jnp.round(AHEAD + LOOK * speed / STEP).astype(int)) % track.tiles
    apart = line[:, target] - place
    steering = STEERING_GAIN * jnp.arctan2(apart @ right, apart @ forward)

    index = (nearest + numbers[: HORIZON + 2]) % track.tiles
    across = track.across[:, 1:][:, index]
    turns = jnp.abs(across[0, 2:] * across[1, :-2] - across[1, 2:] * across[0, :-2]) / 2
    curvature = jnp.minimum(turns, TURN_RATE) / STEP
    way = STEP * jnp.arange(float(HORIZON))
    allowed = jnp.sqrt(jnp.min(CORNERING / jnp.maximum(curvature, 1e-6) + 2 * BRAKING * way))
    missing = SPEED_GAIN * (jnp.clip(allowed, SLOWEST, FASTEST) - speed)
    brake = jnp.clip(-missing, 0.0, 0.8)
    return jnp.stack([jnp.clip(steering, -1.0, 1.0), jnp.clip(missing, 0.0, 1.0), brake])
