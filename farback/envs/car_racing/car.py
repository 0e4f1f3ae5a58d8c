"""The car: a rigid body with four wheels, an engine, brakes and friction."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

FRAME = 1 / 50
"""The seconds of a frame."""
UNIT = 0.02
"""The length of a unit of the shapes."""
WHEELS = UNIT * np.array([[-55, 80], [55, 80], [-55, -82], [55, -82]])
"""Where the wheels are, to the right and forward: front left, front right, rear left, rear right."""
WHEEL_RADIUS, WHEEL_HALF_WIDTH = 27 * UNIT, 14 * UNIT
HULL = (
    UNIT * np.array([[-60, 130], [60, 130], [60, 110], [-60, 110]]),
    UNIT * np.array([[-15, 120], [15, 120], [20, 20], [-20, 20]]),
    UNIT * np.array([[25, 20], [50, -10], [50, -40], [20, -90], [-20, -90], [-50, -40], [-50, -10], [-25, 20]]),
    UNIT * np.array([[-50, -120], [50, -120], [50, -90], [-50, -90]]),
)
"""The convex polygons of the hull."""
HULL_DENSITY, WHEEL_DENSITY = 1.0, 0.1
ENGINE_POWER, BRAKE_FORCE = 1e8 * UNIT**2, 15.0
WHEEL_INERTIA = 4000 * UNIT**2
"""The inertia of a wheel that rolls."""
GRIP, GRASS_GRIP = 1e6 * UNIT**2, 0.6e6 * UNIT**2
"""The largest friction of a wheel on the road, and on grass."""
STIFFNESS = 205000 * UNIT**2
"""The friction for each unit of the speed at which a wheel slides."""
MOST_STEERING, STEERING_RATE, STEERING_GAIN = 0.4, 3.0, 50.0
"""The largest angle of the front wheels, the radians by which it changes in a second at most, and for each radian."""
GAS_RATE, LOCKED = 0.1, 0.9
"""By how much the gas grows in a frame at most, and the braking that locks the wheels."""


def _body() -> tuple[float, np.ndarray, float]:
    """The mass, the centre of mass and the inertia around it of the hull with its wheels."""
    rectangle = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (WHEEL_HALF_WIDTH, WHEEL_RADIUS)
    shapes = [(HULL_DENSITY, polygon) for polygon in HULL]
    shapes += [(WHEEL_DENSITY, place + rectangle) for place in WHEELS]
    mass, moment, inertia = 0.0, np.zeros(2), 0.0
    for density, here in shapes:
        following = np.roll(here, -1, axis=0)
        cross = here[:, 0] * following[:, 1] - here[:, 1] * following[:, 0]
        sign = density * np.sign(cross.sum())
        mass += sign * cross.sum() / 2
        moment += sign * (cross[:, None] * (here + following)).sum(0) / 6
        squares = (here**2 + here * following + following**2).sum(1)
        inertia += sign * (cross * squares).sum() / 12
    centre = moment / mass
    return float(mass), centre, float(inertia - mass * (centre @ centre))


MASS, CENTRE, INERTIA = _body()
"""The mass of the body, the place of its centre from the origin of the shapes, and its inertia around the centre."""


class Car(NamedTuple):
    """The state of the car.

    - `centre`: its centre of mass.
    - `angle`: the direction in which it looks, in radians from the direction of y to the left.
    - `velocity`: the velocity of its centre.
    - `spin`: the angular velocity.
    - `steering`: the angle of the front wheels, to the left.
    - `gas`: the gas that the engine has.
    - `rolling`: the angular velocities of the wheels.
    - `phases`: the angles by which the wheels have rolled.
    """

    centre: Float[Array, "2"]
    angle: Float[Array, ""]
    velocity: Float[Array, "2"]
    spin: Float[Array, ""]
    steering: Float[Array, ""]
    gas: Float[Array, ""]
    rolling: Float[Array, "4"]
    phases: Float[Array, "4"]

    @classmethod
    def at_rest(cls, place: Float[Array, "2"], angle: Float[Array, ""]) -> "Car":
        """A car whose origin is at a place."""
        zero = jnp.zeros(())
        centre = place + jnp.asarray(CENTRE) @ axes(angle)
        return cls(centre, angle, jnp.zeros(2), zero, zero, zero, jnp.zeros(4), jnp.zeros(4))

    @property
    def place(self) -> Float[Array, "2"]:
        """The origin of the shapes, which the picture follows."""
        return self.centre - jnp.asarray(CENTRE) @ axes(self.angle)


class Wheels(NamedTuple):
    """Where the wheels are, and their axes: unit vectors to the right and forward, `[wheel, axis, coordinate]`."""

    places: Float[Array, "4 2"]
    axes: Float[Array, "4 2 2"]


def axes(angle: Float[Array, "*shape"]) -> Float[Array, "*shape 2 2"]:
    """The unit vectors to the right and forward of a direction. A row of such coordinates times it is a vector."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cos, sin], -1), jnp.stack([-sin, cos], -1)], -2)


def wheels(car: Car) -> Wheels:
    """The wheels of a car."""
    places = car.centre + jnp.asarray(WHEELS - CENTRE) @ axes(car.angle)
    front, rear = axes(car.angle + car.steering), axes(car.angle)
    return Wheels(places, jnp.stack([front, front, rear, rear]))


def drive(car: Car, action: Float[Array, "3"], on_road: Bool[Array, "4"]) -> Car:
    """The car after a frame.

    A wheel of radius r rolls with ω, and its place moves with v forward and u aside. The engine drives the rear wheels, the
    brake slows all of them, and the friction (f, g) along and across the wheel acts against sliding, up to a limit L:

        ω ← ω + dt ENGINE_POWER gas / (WHEEL_INERTIA (|ω| + 5)),    ω ← ω − sign(ω) min(BRAKE_FORCE brake, |ω|)
        (f, g) = STIFFNESS (r ω − v, −u), shortened to the length L
        ω ← ω − dt f r / WHEEL_INERTIA

    **Arguments:**

    - `action`: steering to the right from −1 to 1, gas and brake from 0 to 1.
    - `on_road`: whether each wheel is on the road; else, it is on grass.
    """
    dtype = car.centre.dtype
    steer, gas, brake = jnp.clip(action.astype(dtype), jnp.array([-1.0, 0.0, 0.0]), 1.0)
    gas = jnp.minimum(gas, car.gas + GAS_RATE)
    places, directions = wheels(car)
    arms = places - car.centre
    velocities = car.velocity + car.spin * _left(arms)
    aside, ahead = jnp.moveaxis(jnp.sum(directions * velocities[:, None], -1), -1, 0)
    driven = jnp.array([0.0, 0.0, 1.0, 1.0])
    rolling = car.rolling + driven * gas * (FRAME * ENGINE_POWER / WHEEL_INERTIA) / (jnp.abs(car.rolling) + 5)
    slowed = rolling - jnp.sign(rolling) * jnp.minimum(BRAKE_FORCE * brake, jnp.abs(rolling))
    rolling = jnp.where(brake >= LOCKED, 0.0, slowed)
    phases = (car.phases + FRAME * rolling) % (2 * np.pi)
    friction = STIFFNESS * jnp.stack([-aside, WHEEL_RADIUS * rolling - ahead], -1)
    length = jnp.sqrt(jnp.sum(friction**2, -1))
    limit = jnp.where(on_road, GRIP, GRASS_GRIP)
    friction = friction * jnp.where(length > limit, limit / jnp.maximum(length, limit), 1.0)[:, None]
    rolling = rolling - FRAME * WHEEL_RADIUS / WHEEL_INERTIA * friction[:, 1]
    forces = jnp.sum(friction[:, :, None] * directions, 1)
    velocity = car.velocity + FRAME / MASS * forces.sum(0)
    spin = car.spin + FRAME / INERTIA * jnp.sum(_left(arms) * forces)
    angle = car.angle + FRAME * spin
    error = -steer - car.steering
    rate = jnp.clip(STEERING_GAIN * error, -STEERING_RATE, STEERING_RATE)
    steering = jnp.clip(car.steering + FRAME * rate, -MOST_STEERING, MOST_STEERING)
    return Car(car.centre + FRAME * velocity, angle, velocity, spin, steering, gas, rolling, phases)


def _left(vectors):
    """Vectors that are turned to the left by a right angle."""
    return jnp.stack([-vectors[..., 1], vectors[..., 0]], -1)
