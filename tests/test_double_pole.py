"""The physics of two poles on a cart."""

import jax.numpy as jnp
import numpy as np

from farback.envs import DoublePole, double_pole


def energy(state):
    """The energy of the cart and of two rods on hinges."""
    _, velocity, *angles, first, second = (float(number) for number in state.physics)
    found = double_pole.CART_MASS * velocity**2 / 2
    rods = zip(double_pole.POLE_MASSES, double_pole.HALF_LENGTHS, angles, (first, second), strict=True)
    for mass, half, angle, spin in rods:
        along, down = velocity + half * spin * np.cos(angle), half * spin * np.sin(angle)
        found += mass * (along**2 + down**2) / 2 + mass * half**2 / 6 * spin**2
        found += mass * double_pole.GRAVITY * half * np.cos(angle)
    return found


def test_double_pole_keeps_its_energy(monkeypatch, key):
    """The work of the force is all that changes it, if there is no friction."""
    for name in ("CART_FRICTION", "POLE_FRICTION"):
        monkeypatch.setattr(double_pole, name, 0.0)
    env = DoublePole(dt=0.005)
    state = env.reset(key)
    for push in 0.3 * np.sin(np.arange(30)):
        before = energy(state), float(state.physics[0])
        state, feedback = env.step(state, jnp.array([push]), key)
        work = double_pole.FORCE * push * (float(state.physics[0]) - before[1])
        np.testing.assert_allclose(energy(state) - before[0], work, atol=1e-8)
    assert not feedback.terminated
    assert abs(state.physics[2]) > 0.01, "control: it moved"
    monkeypatch.setattr(double_pole, "POLE_FRICTION", 1e-3)
    before = energy(state)
    assert energy(env.step(state, jnp.zeros(1), key)[0]) < before - 1e-6, "control: friction"


def test_double_pole_ends_where_a_pole_or_the_cart_is_too_far(key):
    env = DoublePole(speeds=False)
    state = env.reset(key)
    assert abs(state.physics[2]) <= double_pole.START
    for index, place in ((0, 2.5), (2, 0.64), (3, -0.64)):
        gone = state._replace(physics=jnp.zeros(6).at[index].set(place))
        assert env.step(gone, jnp.zeros(1), key)[1].terminated
    assert not env.step(state, jnp.zeros(1), key)[1].terminated
    last = state._replace(time=jnp.array(999))
    assert env.step(last, jnp.zeros(1), key)[1].truncated
    np.testing.assert_allclose(env.observe(state), [0, state.physics[2] / double_pole.MAX_ANGLE, 0], atol=1e-9)
