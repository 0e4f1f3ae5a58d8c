"""Car racing against Gymnasium's: tracks, the car, contacts, pictures and returns; and rewards worked by hand."""

import functools
from typing import Any

import Box2D
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.envs.box2d.car_dynamics import Car as BoxCar

from farback.envs import CarRacing
from farback.envs.car_racing import car as car_file
from farback.envs.car_racing import track as track_file
from farback.envs.car_racing.car import CENTRE, INERTIA, MASS, Car, drive, wheels
from farback.envs.car_racing.car_racing import CarRacingState
from farback.envs.car_racing.contact import touching
from farback.envs.car_racing.driver import follow_road
from farback.envs.car_racing.picture import _first
from farback.envs.car_racing.track import HALF_WIDTH, MOST_TILES, STEP, Track, draw_track
from farback.envs.raycast import players
from farback.types import InputError


@functools.cache
def resetting(env):
    return jax.jit(env.reset)


def begin(env, seed=0):
    """The first state of an episode."""
    return resetting(CarRacing(16))(jax.random.key(seed))


STAND, COAST = np.array([0.0, 0.0, 1.0]), np.zeros(3)


def make_box(pictures=False) -> Any:
    """Gymnasium's environment."""
    env: Any = gymnasium.make("CarRacing-v3").unwrapped
    if not pictures:
        env._render = lambda mode: np.zeros((96, 96, 3), np.uint8)
    return env


@pytest.fixture(scope="module")
def box():
    return make_box()


def track_of(box):
    """The track of Gymnasium's environment."""
    line, tiles = np.array(box.track), len(box.track)
    _, angles, x, y = np.concatenate([line[-1:], line, np.repeat(line[:1], MOST_TILES - tiles, 0)]).T
    kerbs, tile = np.zeros(MOST_TILES, int), -1
    for polygon, colour in box.road_poly:
        tile += not isinstance(colour, tuple)
        if isinstance(colour, tuple):
            outward = np.subtract(polygon[1], polygon[0])
            kerbs[tile] = np.sign(outward @ [np.cos(angles[tile + 1]), np.sin(angles[tile + 1])])
    arrays = np.stack([x, y]), np.stack([np.cos(angles), np.sin(angles)]), kerbs, np.array(tiles)
    return Track(*map(jnp.asarray, arrays))


def car_of(box_car):
    """The state of Gymnasium's car."""
    hull, parts = box_car.hull, box_car.wheels
    steering, gas = parts[0].joint.angle, parts[2].gas
    state = hull.worldCenter, hull.angle, hull.linearVelocity, hull.angularVelocity, steering, gas
    state = *state, [wheel.omega for wheel in parts], [wheel.phase for wheel in parts]
    return Car(*(jnp.asarray(np.array(value, float)) for value in state))


def visited_in(box):
    return np.pad([tile.road_visited for tile in box.road], (0, MOST_TILES - len(box.road)))


# ------------------------------------------------------------------------------------------------------------- tracks


def turns(angles):
    """The sizes of the turns of a closed line."""
    apart = angles - np.roll(angles, 1)
    return np.abs(apart - 2 * np.pi * np.round(apart / (2 * np.pi)))


@functools.cache
def statistics_of_gymnasium(count=100):
    env = make_box()
    tiles, sizes, kerbs = [], [], []
    for seed in range(count):
        env.reset(seed=seed)
        tiles.append(len(env.track))
        kerbs.append((len(env.road_poly) - len(env.track)) / len(env.track))
        sizes.append(turns(np.array(env.track)[:, 1]))
    return np.array(tiles), np.concatenate(sizes), np.array(kerbs)


def drawn_statistics(count=300):
    tracks = jax.jit(jax.vmap(lambda key: draw_track(key)))(jax.random.split(jax.random.key(0), count))
    tiles, kerbs = np.array(tracks.tiles), np.array((tracks.kerbs != 0).sum(1) / tracks.tiles)
    angles = np.array(jax.vmap(lambda track: track.angles)(tracks))
    return tiles, np.concatenate([turns(one[1 : count + 1]) for one, count in zip(angles, tiles, strict=True)]), kerbs


def differences():
    """How far apart tracks are: tiles and kerbs in standard errors, turns by the distance of their distributions."""
    ours, theirs = drawn_statistics(), statistics_of_gymnasium()

    def in_errors(one, other):
        return abs(one.mean() - other.mean()) / np.sqrt(one.var() / len(one) + other.var() / len(other))

    grid = np.linspace(0, 0.35, 200)
    shares = [np.searchsorted(np.sort(sizes), grid, side="right") / len(sizes) for _, sizes, _ in (ours, theirs)]
    return in_errors(ours[0], theirs[0]), in_errors(ours[2], theirs[2]), np.abs(shares[0] - shares[1]).max()


def test_tracks_are_like_those_of_gymnasium():
    of_tiles, of_kerbs, of_turns = differences()
    assert of_tiles < 4
    assert of_kerbs < 4
    assert of_turns < 0.035
    ours, theirs = drawn_statistics()[0], statistics_of_gymnasium()[0]
    assert 0.75 < ours.std() / theirs.std() < 1.35


def test_control_tracks_with_another_turn_rate_differ(monkeypatch):
    monkeypatch.setattr(track_file, "TURN_RATE", 0.2)
    _, of_kerbs, of_turns = differences()
    assert of_kerbs > 4
    assert of_turns > 0.07


def test_tracks_are_closed_lines():
    tracks = jax.jit(jax.vmap(draw_track))(jax.random.split(jax.random.key(1), 20))
    for points, across, kerbs, tiles in zip(*map(np.asarray, tracks), strict=True):
        lengths = np.linalg.norm(np.diff(points[:, : tiles + 1]), axis=0)
        np.testing.assert_allclose(lengths[1:], STEP, rtol=1e-9)
        assert lengths[0] < 4 * STEP
        np.testing.assert_array_equal(points[:, 0], points[:, tiles])
        np.testing.assert_allclose(np.linalg.norm(across, axis=0), 1)
        assert not kerbs[tiles:].any()
        along = np.diff(points[:, 1 : tiles + 1]) / STEP
        forward = np.stack([-across[1], across[0]])[:, 1:tiles]
        assert (np.sum(along * forward, 0) > np.cos(track_file.TURN_RATE)).all()


# ---------------------------------------------------------------------------------------------------------------- car


def script(*parts):
    """Actions, each for a number of frames."""
    return np.concatenate([np.tile(np.array(action, float), (frames, 1)) for *action, frames in parts])


SCRIPTS = {
    "gas": script((0, 1, 0, 100)),
    "brake": script((0, 1, 0, 100), (0, 0, 0.8, 30)),
    "lock": script((0, 1, 0, 100), (0, 0, 1, 30)),
    "steer": script((0, 0.5, 0, 100), (0.3, 0, 0, 30), (-0.3, 0, 0, 30)),
    "steer with gas": script((0, 0.3, 0, 60), (0.1, 0.1, 0, 100)),
    "steer hard": script((0, 1, 0, 100), (1, 0, 0, 40)),
}
WITHIN = {"place": 0.25, "angle": 0.012, "velocity": 0.7, "rolling": 1.2, "steering": 0.03}
"""How far our car may be from Gymnasium's after some 100 units of way, at up to 90 units a second."""
ON_GRASS = 4
"""The factor of these tolerances on grass, where cars slide more."""


def driven_by_gymnasium(actions, on_road):
    class Tile:
        road_friction = 1.0

    world = Box2D.b2World((0, 0))
    car, states = BoxCar(world, 0, 0, 0), []
    for wheel in car.wheels:
        wheel.tiles |= {Tile()} if on_road else set()
    for steer, gas, brake in actions.tolist():
        car.steer(-steer)
        car.gas(gas)
        car.brake(brake)
        car.step(1 / 50)
        world.Step(1 / 50, 180, 60)
        states.append(car_of(car))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *states)


def driven(actions, on_road, angle=0.0):
    def one(car, action):
        car = drive(car, action, jnp.full(4, on_road))
        return car, car

    start = Car.at_rest(jnp.zeros(2), jnp.array(angle))
    return jax.jit(lambda actions: jax.lax.scan(one, start, actions)[1])(jnp.asarray(actions))


def apart(ours, theirs):
    """The largest differences along a way, in parts of what is allowed."""
    pairs = {name: (getattr(ours, name), getattr(theirs, name)) for name in Car._fields}
    pairs["place"] = pairs["centre"]
    return {name: float(np.abs(np.subtract(*pairs[name])).max() / most) for name, most in WITHIN.items()}


@pytest.mark.parametrize("name", SCRIPTS)
def test_cars_go_where_those_of_gymnasium_go(name):
    for on_road in (True, False):
        found = apart(driven(SCRIPTS[name], on_road), driven_by_gymnasium(SCRIPTS[name], on_road))
        assert max(found.values()) < (1 if on_road else ON_GRASS), found


@pytest.mark.parametrize(
    ("constant", "factor", "name"),
    [
        ("GRIP", 0.5, "gas"),
        ("GRIP", 0.5, "steer"),
        ("ENGINE_POWER", 0.9, "gas"),
        ("BRAKE_FORCE", 0.5, "brake"),
        ("STEERING_RATE", 0.5, "steer hard"),
        ("INERTIA", 1.2, "steer"),
        ("MASS", 1.1, "lock"),
    ],
)
def test_control_another_car_goes_elsewhere(monkeypatch, constant, factor, name):
    monkeypatch.setattr(car_file, constant, factor * getattr(car_file, constant))
    assert max(apart(driven(SCRIPTS[name], True), driven_by_gymnasium(SCRIPTS[name], True)).values()) > 2


def test_all_directions_are_alike():
    here, there = (driven(SCRIPTS["steer"], True, angle) for angle in (0.0, 0.7))
    turn = np.array([[np.cos(0.7), np.sin(0.7)], [-np.sin(0.7), np.cos(0.7)]])
    np.testing.assert_allclose(there.centre, here.centre @ turn, atol=1e-6)
    np.testing.assert_allclose(there.angle, here.angle + 0.7, atol=1e-7)


def test_mass_and_inertia_are_those_of_the_parts():
    car = BoxCar(Box2D.b2World((0, 0)), 0, 0, 0)
    parts = [car.hull, *car.wheels]
    masses, places = np.array([part.mass for part in parts]), np.array([part.worldCenter for part in parts])
    centre = masses @ places / masses.sum()
    own = np.array([part.inertia - part.mass * np.sum(np.square(part.localCenter)) for part in parts])
    np.testing.assert_allclose(MASS, masses.sum(), rtol=1e-5)
    np.testing.assert_allclose(CENTRE, centre, atol=1e-6)
    np.testing.assert_allclose(INERTIA, np.sum(own + masses * np.sum((places - centre) ** 2, 1)), rtol=1e-5)


# ----------------------------------------------------------------------------------------------------------- contacts


def test_wheels_touch_the_tiles_that_they_touch_in_gymnasium(box):
    touch = jax.jit(lambda track, car: touching(track, wheels(car)))
    box.reset(seed=2)
    track, ours, missed, roads, theirs_on = track_of(box), visited_in(box), 0, [], []
    for time in range(200):
        touched, on_road = touch(track, car_of(box.car))
        ours = ours | np.asarray(touched)
        roads.append(np.asarray(on_road))
        box.step(np.array([0.1 * np.sin(time / 12), 0.3, 0.0]))
        theirs_on.append([bool(wheel.tiles) for wheel in box.car.wheels])
        missed += np.sum(ours != visited_in(box))
    assert np.sum(visited_in(box)) > 20
    assert missed <= 3, "in all frames together"
    assert not np.all(roads), "the car leaves the road"
    assert np.mean(np.array(roads) != np.array(theirs_on)) < 0.01


def test_wheels_beside_the_road_touch_no_tile():
    track = begin(CarRacing(16)).track
    for aside, expected in ((HALF_WIDTH - 2, True), (HALF_WIDTH + 2, False)):
        place = track.points[:, 20] + aside * track.across[:, 20]
        touched, on_road = touching(track, wheels(Car.at_rest(place, track.angles[20])))
        assert bool(jnp.all(on_road)) is expected
        assert bool(jnp.any(touched[18:22])) is expected


# ------------------------------------------------------------------------------------------------------------ rewards


@functools.cache
def stepped(env):
    return jax.jit(env.step)


def act(env, state, action):
    return stepped(env)(state, jnp.asarray(action), jax.random.key(0))


def test_rewards_of_tiles_and_frames():
    env = CarRacing(16)
    start = begin(env)
    tile = 1000 / float(start.track.tiles)
    state, feedback = act(env, start, STAND)
    assert np.flatnonzero(state.visited).tolist() == [0, 1], (
        "the rear wheels are on the first tile, the front ones on the next"
    )
    np.testing.assert_allclose(feedback.reward, 2 * tile - 0.1)
    state, feedback = act(env, state, STAND)
    np.testing.assert_allclose(feedback.reward, -0.1, err_msg="a tile counts once")
    total = float(feedback.reward)
    for _ in range(60):
        state, feedback = act(env, state, [0.0, 0.3, 0.0])
        total += float(feedback.reward)
    new = int(state.visited.sum()) - 2
    assert new > 3
    np.testing.assert_allclose(total, new * tile - 0.1 * 61, atol=1e-9)


def test_episodes_end_when_all_tiles_are_visited():
    env = CarRacing(16)
    start = begin(env)
    others = jnp.arange(MOST_TILES) < start.track.tiles
    left = start._replace(visited=others.at[0].set(False))
    _, feedback = act(env, left, STAND)
    assert feedback.terminated
    assert not feedback.truncated
    np.testing.assert_allclose(feedback.reward, 1000 / float(start.track.tiles) - 0.1)
    elsewhere = start._replace(visited=others.at[100].set(False))
    assert not act(env, elsewhere, STAND)[1].terminated


def test_episodes_end_off_the_playfield():
    env = CarRacing(16)
    start = begin(env)
    for x, ends in ((333.0, False), (334.0, True)):
        state = start._replace(car=Car.at_rest(jnp.array([x, 0.0]), jnp.array(0.0)))
        _, feedback = act(env, state, COAST)
        assert bool(feedback.terminated) is ends
        np.testing.assert_allclose(feedback.reward, -100 if ends else -0.1)


def test_episodes_are_truncated_after_the_horizon():
    env = CarRacing(16)
    start = begin(env)
    assert not act(env, start._replace(time=jnp.array(998)), STAND)[1].truncated
    assert act(env, start._replace(time=jnp.array(999)), STAND)[1].truncated


def test_repeat_adds_up_frames_until_the_end():
    env, once = CarRacing(16, repeat=8), CarRacing(16)
    assert (env.max_episode_steps, env.time_step, once.time_step) == (125, 0.16, 0.02)
    assert CarRacing(repeat=3).max_episode_steps == 334
    start, total = begin(env), 0.0
    single = start
    for _ in range(8):
        single, feedback = act(once, single, [0.1, 1.0, 0.0])
        total += float(feedback.reward)
    several, feedback = act(env, start, [0.1, 1.0, 0.0])
    np.testing.assert_allclose(feedback.reward, total)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-9), several, single)
    last, feedback = act(env, start._replace(time=jnp.array(997)), STAND)
    assert feedback.truncated
    assert last.time == 1000
    np.testing.assert_allclose(feedback.reward, 2000 / float(start.track.tiles) - 0.3)


def test_the_same_world_is_the_same_track():
    env = CarRacing(16)
    start = begin(env)
    again = env.reset_same_world(act(env, start, [0.0, 1.0, 0.0])[0], jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, again, start)
    assert np.any(np.asarray(begin(env, 1).track.points) != np.asarray(start.track.points))


# ----------------------------------------------------------------------------------------------------------- pictures


@functools.cache
def observing(env):
    return jax.jit(env.observe)


def look(env, state):
    return np.asarray(observing(env)(state)).astype(int)


def is_grey(pixels):
    return np.ptp(pixels, axis=-1) == 0


def is_green(pixels):
    return (pixels[..., 1] > 150) & (pixels[..., 0] == 102) & (pixels[..., 2] == 102)


def straight(env):
    """A state on a long straight along y, in the middle of nowhere else."""
    start = begin(env)
    tile = jnp.arange(MOST_TILES + 1.0)
    points = jnp.stack([jnp.zeros(MOST_TILES + 1), STEP * (tile - 30)])
    across = jnp.stack([jnp.ones(MOST_TILES + 1), jnp.zeros(MOST_TILES + 1)])
    track = Track(points, across, jnp.zeros(MOST_TILES, int), jnp.array(100))
    return start._replace(track=track, car=Car.at_rest(jnp.zeros(2), jnp.array(0.0)))


def test_picture_of_a_straight():
    env = CarRacing(64)
    seen = look(env, straight(env))
    half = HALF_WIDTH * 64 / (1000 / 16.2)
    inside = np.abs(np.arange(64) + 0.5 - 32) < half
    assert is_grey(seen[:40, inside]).all(), "the road lies ahead"
    assert is_green(seen[:56, ~inside]).all(), "and grass aside"
    assert set(np.unique(seen[:56, ~inside][..., 1])) == {204, 230}, "of two greens"
    assert set(np.unique(seen[:40, inside])) == {102, 104, 107}, "tiles have shades"
    reds = np.argwhere(seen[:56, :, 0] - seen[:56, :, 1] > 40)
    np.testing.assert_allclose(reds.mean(0), [48, 31.5], atol=1)
    assert len(reds) >= 4
    assert not seen[56:].any(), "nothing moves"


def test_tiles_lose_their_shade_when_they_are_visited():
    env = CarRacing(64)
    state = straight(env)
    seen = look(env, state._replace(visited=jnp.ones(MOST_TILES, bool)))
    assert set(np.unique(seen[:40, 30:34])) == {102}


def test_picture_turns_with_the_car():
    env = CarRacing(64)
    state = straight(env)
    seen = look(env, state._replace(car=Car.at_rest(jnp.zeros(2), jnp.array(np.pi / 2))))
    assert is_green(seen[:38]).all(), "who looks to the left sees the grass ahead"
    assert is_grey(seen[44, :20]).all(), "and the road across"
    assert is_grey(seen[44, 44:]).all()
    moved = look(env, state._replace(car=Car.at_rest(jnp.array([10.0, 0.0]), jnp.array(0.0))))
    assert is_grey(moved[:40, 32 - 10]).all(), "who stands to the right of the road has it to the left"
    assert is_green(moved[:40, 32]).all()


def test_kerbs_are_red_and_white():
    env = CarRacing(64)
    state = straight(env)
    kerbs = jnp.zeros(MOST_TILES, int).at[32:40].set(1)
    seen = look(env, state._replace(track=state.track._replace(kerbs=kerbs)))
    column = int(32 + (HALF_WIDTH + 0.6) * 64 / (1000 / 16.2))
    found = {tuple(pixel) for pixel in seen[:40, column].tolist()}
    assert {(255, 0, 0), (255, 255, 255)} <= found
    mirrored = 63 - column
    assert is_green(seen[:40, mirrored]).all()


def test_indicators_grow():
    env = CarRacing(96)
    state = straight(env)
    car = state.car._replace(velocity=jnp.array([0.0, 60.0]), rolling=jnp.full(4, 100.0), steering=jnp.array(0.3))
    strip = look(env, state._replace(car=car._replace(spin=jnp.array(-2.0))))[84:]
    white, blue, green, red = (
        np.argwhere(kind) for kind in (strip.min(-1) > 0, strip[..., 2] > 0, strip[..., 1] > 0, strip[..., 0] > 60)
    )
    assert len(white) > 2
    assert blue[:, 1].max() < 96 * 11 / 40 + 1
    green = green[green[:, 1] > 30, 1].tolist()
    assert 96 * 17 / 40 - 1 <= min(green) <= max(green) < 96 / 2 + 1, "to the left for the left"
    red = red[red[:, 1] > 60, 1].tolist()
    assert 96 * 30 / 40 - 1 <= min(red) <= max(red) < 96 * 31.6 / 40 + 1, "to the right for the right"


def unlike(seen, other):
    """The share of pixels of the field that differ clearly."""
    return np.mean(np.abs(seen.astype(int) - other)[:84].max(-1) > 40)


def test_pictures_are_like_those_of_gymnasium():
    box, env = make_box(pictures=True), CarRacing(96)
    for seed, steer in ((1, 0.0), (2, 0.02), (3, -0.02)):
        box.reset(seed=seed)
        render, box._render = box._render, lambda mode: np.zeros((96, 96, 3), np.uint8)
        for _ in range(60):
            box.step(np.array([steer, 0.1, 0.0]))
        box._render = render
        theirs = box.step(np.zeros(3))[0].astype(int)
        state = CarRacingState(track_of(box), jnp.asarray(visited_in(box)), car_of(box.car), jnp.array(0))
        ours = look(env, state)
        assert unlike(theirs, ours) < 0.012
        assert np.mean(np.abs(theirs - ours)[:84]) < 4
        aside = look(env, state._replace(car=state.car._replace(centre=state.car.centre + 2)))
        assert unlike(theirs, aside) > 0.03, "control: of another place"
    box.close()


def test_first_is_nonzero():
    for seed, count in ((0, 10), (1, 40), (2, 5)):
        chosen = np.random.default_rng(seed).random(400) < 0.05
        places = np.append(np.flatnonzero(chosen), np.full(count, 400))[:count]
        np.testing.assert_array_equal(_first(jnp.asarray(chosen), count), places)


def test_sizes_and_people():
    for size in (16, 300):
        env = CarRacing(size)
        assert look(env, straight(env)).shape == (size, size, 3)
    env = CarRacing(16)
    state = straight(env)
    assert is_grey(np.asarray(jax.jit(env.render_images)(state)["view"]).astype(int)[:200, 192]).all()
    assert env.render_text(state) == "0/100 tiles, speed 0, ↑"


# ------------------------------------------------------------------------------------------------------------ returns

DRIVER = players.without_memory(lambda state, key: follow_road(state.track, state.car))


@pytest.mark.slow
def test_stated_returns():
    env = CarRacing()
    for stated, player in ((env.optimum, DRIVER), (env.random, players.at_random(env))):
        returns, *_ = players.play(env, player, 24, jax.random.key(3))
        error = np.std(returns) / np.sqrt(len(returns))
        assert abs(np.mean(returns) - stated) < 4 * error + 0.005 * abs(stated)


@pytest.mark.slow
def test_driver_has_the_returns_that_it_has_in_gymnasium(box):
    driver, returns = jax.jit(follow_road), []
    for seed in range(4):
        box.reset(seed=seed)
        track, total = track_of(box), 0.0
        for _ in range(1000):
            _, reward, terminated, _, _ = box.step(np.asarray(driver(track, car_of(box.car))))
            total += reward
            if terminated:
                break
        returns.append(total)
    assert abs(np.mean(returns) - CarRacing().optimum) < 0.1 * CarRacing().optimum
    assert min(returns) > 700


def test_returns_are_stated_for_the_defaults_alone():
    assert not np.isnan(CarRacing(32).optimum)
    assert np.isnan(CarRacing(repeat=2).optimum)
    assert np.isnan(CarRacing(horizon=500).random)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 15}, "CarRacing.size=15.*give size >= 16"),
        ({"repeat": 0}, "repeat=0.*give 1 <= repeat <= horizon"),
        ({"repeat": 11, "horizon": 10}, "give 1 <= repeat <= horizon"),
        ({"horizon": 0}, "give 1 <= repeat <= horizon"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        CarRacing(**arguments)
