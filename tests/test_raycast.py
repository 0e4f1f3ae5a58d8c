"""First-person pictures against geometry worked by hand, and mazes against a search."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback.envs import Maze, Trials
from farback.envs.raycast.camera import SHADE, Camera, Pictures, Pose, Sprites, cast, pack
from farback.envs.raycast.maze import layout
from farback.envs.raycast.walking import FORWARD, LEFT, RIGHT
from farback.types import InputError

RED, GREEN, BLUE, WHITE = (200, 0, 0), (0, 200, 0), (0, 0, 200), (255, 255, 255)
ROOM = np.ones((9, 9), int)
ROOM[1:8, 1:8] = 0
"""A room whose free blocks reach from 1 to 8 along x and y."""


def plain(*colours, side=8):
    return pack(jnp.asarray([np.full((side, side, len(colour)), colour) for colour in colours], jnp.uint8))


PICTURES = Pictures(plain(RED, BLUE), plain((*GREEN, 255), (*WHITE, 255)), *plain((9, 9, 9), (90, 90, 90))[:, 0, 0])


def pose(x, y, angle):
    return Pose(jnp.array([x, y]), jnp.array(float(angle)))


def sprites(*each):
    """Sprites, each (x, y, kind, size)."""
    x, y, kind, size = map(np.array, zip(*each, strict=True))
    return Sprites(jnp.stack([x, y], -1), jnp.asarray(kind), jnp.asarray(size), jnp.ones(len(each), bool))


def hue(seen):
    """The strongest of red, green and blue of each pixel, as 0, 1 or 2; −1 where all are equal."""
    seen = np.asarray(seen).astype(int)
    return np.where(np.ptp(seen, axis=-1) == 0, -1, seen.argmax(-1))


def test_rays_meet_the_walls_of_a_room_where_geometry_says():
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, 200)
    rays, (x, y) = np.stack([np.cos(angles), np.sin(angles)], axis=1), (2.3, 6.1)
    hits = cast(jnp.asarray(ROOM), jnp.array([x, y]), jnp.asarray(rays))
    along_x = np.where(rays[:, 0] > 0, 8 - x, x - 1) / np.abs(rays[:, 0])
    along_y = np.where(rays[:, 1] > 0, 8 - y, y - 1) / np.abs(rays[:, 1])
    np.testing.assert_allclose(hits.distance, np.minimum(along_x, along_y), rtol=1e-9)
    np.testing.assert_array_equal(hits.along_x, along_x < along_y)
    straight = cast(jnp.asarray(ROOM), jnp.array([x, y]), jnp.array([[1.0, 0.0], [0.0, -1.0]]))
    np.testing.assert_allclose(straight.distance, [8 - x, y - 1])


def test_rays_stop_at_the_first_wall():
    grid = ROOM.copy()
    grid[4, 5] = 2
    hits = cast(jnp.asarray(grid), jnp.array([1.5, 4.5]), jnp.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2]]))
    np.testing.assert_allclose(hits.distance, [3.5, 3.5, 6.5])
    assert hits.texture.tolist() == [1, 1, 0]


@pytest.mark.parametrize("angle", [0, np.pi / 2, np.pi, -np.pi / 2])
def test_flat_wall_is_straight_and_as_high_as_its_distance_says(angle):
    """Each column of a wall that faces the camera has the same height (no fish-eye), (height of a block) / (distance)."""
    camera = Camera(64, 48, 60.0)
    seen = camera.picture(jnp.asarray(ROOM), pose(4.5, 4.5, angle), PICTURES)
    heights = (hue(seen) == 0).sum(axis=0)
    expected = 64 / 2 / np.tan(np.radians(30)) / 3.5  # pixels a block, at a distance of 3.5 blocks
    assert set(heights.tolist()) == {2 * round(expected / 2)}
    shade = 1 if angle in (0, np.pi) else SHADE
    assert abs(int(seen[24, 32, 0]) - shade * 200 * 16 / (16 + 3.5**2)) < 2


@pytest.mark.parametrize("angle", [0, np.pi / 2, np.pi, -np.pi / 2])
def test_textures_are_not_mirrored(angle):
    """The left of a texture is on the left, from every side, and its top on top."""
    texture = np.zeros((1, 8, 8, 3))
    texture[0, :, :4], texture[0, :, 4:] = RED, BLUE
    texture[0, 4:, 4:] = GREEN
    pictures = PICTURES._replace(walls=pack(jnp.asarray(texture, jnp.uint8)))
    found = hue(Camera(9, 9, 20.0).picture(jnp.asarray(ROOM), pose(4.5, 4.5, angle), pictures))
    assert (found[2, 3], found[2, 5], found[6, 5]) == (0, 2, 1)


def test_sprites_stand_on_the_floor_hide_what_is_behind_and_are_hidden_by_walls():
    camera, grid = Camera(40, 40), ROOM.copy()
    look = functools.partial(camera.picture, pose=pose(1.5, 4.5, 0), pictures=PICTURES)
    near, far = (3.5, 4.5, 0, 0.5), (5.5, 4.5, 1, 0.9)
    alone = hue(look(jnp.asarray(grid), sprites=sprites(near))) == 1
    rows, columns = np.nonzero(alone.any(1))[0], np.nonzero(alone.any(0))[0]
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (20, 24, 17, 21), "0.5 high and wide, at a distance of 2"
    both = np.asarray(look(jnp.asarray(grid), sprites=sprites(near, far)))
    np.testing.assert_array_equal(both, look(jnp.asarray(grid), sprites=sprites(far, near)))
    assert (hue(both) == 1).sum() == alone.sum(), "the nearer one hides the farther"
    assert (both.min(axis=-1) > 100).any(), "whose top is seen above it"
    grid[4, 3] = 2
    np.testing.assert_array_equal(look(jnp.asarray(grid), sprites=sprites(far)), look(jnp.asarray(grid)))
    behind = sprites((1.2, 4.5, 0, 0.5))
    np.testing.assert_array_equal(look(jnp.asarray(ROOM), sprites=behind), look(jnp.asarray(ROOM)))
    absent = sprites(near)._replace(shown=jnp.zeros(1, bool))
    np.testing.assert_array_equal(look(jnp.asarray(ROOM), sprites=absent), look(jnp.asarray(ROOM)))


def ways(walls):
    """The number of free blocks, of pairs of neighbours among them, and of those that can be reached from the first."""
    free = {(int(y), int(x)) for y, x in zip(*np.nonzero(~np.asarray(walls)), strict=True)}
    pairs = sum(((y + 1, x) in free) + ((y, x + 1) in free) for y, x in free)
    seen, queue = {min(free)}, [min(free)]
    while queue:
        y, x = queue.pop()
        new = ({(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & free) - seen
        seen, queue = seen | new, [*queue, *new]
    return len(free), pairs, len(seen)


def test_layouts_have_one_way_between_any_two_cells():
    layouts = jax.vmap(functools.partial(layout, 5))(jax.random.split(jax.random.key(0), 20))
    for walls in layouts:
        assert ways(walls) == (49, 48, 49), "a tree of 25 cells and 24 doors"
        assert walls[1::2, 1::2].sum() == 0
    assert len({walls.tobytes() for walls in np.asarray(layouts)}) == 20
    opened = layouts[0].at[tuple(np.argwhere(np.asarray(layouts[0])[1:-1, 1:-1])[0] + 1)].set(False)
    assert ways(opened) != (49, 48, 49), "control: another opening"


def shortest(env, state):
    """The actions of a shortest way to the target, by breadth-first search over whole cells and four headings."""
    step = jax.jit(env.step)
    queue, seen = collections.deque([(state, [])]), set()
    while queue:
        state, actions = queue.popleft()
        for action in (FORWARD, LEFT, RIGHT):
            after, feedback = step(state, jnp.asarray(action), jax.random.key(0))
            place = (*np.round(after.position, 1).tolist(), int(after.heading))
            if feedback.terminated:
                return [*actions, action]
            if place not in seen:
                seen.add(place)
                queue.append((after, [*actions, action]))
    raise AssertionError("there is no way to the target")


def played(env, state, actions):
    """The return of actions, the state after them, and the last feedback."""
    total, step = 0.0, jax.jit(env.step)
    for action in actions:
        state, feedback = step(state, jnp.asarray(action), jax.random.key(0))
        total += float(feedback.reward)
    return total, state, feedback


def test_maze_ends_at_the_target_with_the_stated_reward():
    env = Maze(cells=3)
    for seed in range(3):
        state = env.reset(jax.random.key(seed))
        actions = shortest(env, state)
        total, _, feedback = played(env, state, actions)
        assert feedback.terminated
        assert not feedback.truncated
        np.testing.assert_allclose(total, 1 - 0.04 * len(actions), rtol=1e-9)
        fine = Maze(cells=3, stride=0.2, turn=18)
        state = state._replace(heading=state.heading * 5)
        total, _, feedback = played(fine, state, np.repeat(actions, 5))
        assert feedback.terminated, "five small steps are one of a cell"


def test_maze_walls_stop_a_step_and_cost_more():
    env = Maze(cells=2, horizon=3)
    state = env.reset(jax.random.key(0))
    blocked = [state._replace(heading=jnp.asarray(heading)) for heading in range(4)]
    results = [played(env, one, [FORWARD]) for one in blocked]
    stopped = [np.allclose(after.position, state.position) for _, after, _ in results]
    assert 2 <= sum(stopped) <= 3, "a corner of a maze of 2 x 2 has one or two ways out"
    for (total, after, _), stays in zip(results, stopped, strict=True):
        np.testing.assert_allclose(total % 1, (-0.041 if stays else -0.04) % 1, atol=1e-9)
        assert stays or np.isclose(np.abs(after.position - state.position).sum(), 2)
    _, _, feedback = played(env, state._replace(heading=jnp.asarray(stopped.index(True))), [FORWARD] * 3)
    assert feedback.truncated


def test_maze_turns_are_seen():
    """A full turn shows the same picture again, and half a turn another; turning left undoes turning right."""
    env = Maze()
    state = env.reset(jax.random.key(1))
    look = jax.jit(env.observe)
    _, around, _ = played(env, state, [RIGHT] * 4)
    _, half, _ = played(env, state, [RIGHT] * 2)
    _, back, _ = played(env, half, [LEFT] * 2)
    np.testing.assert_array_equal(look(around), look(state))
    np.testing.assert_array_equal(look(back), look(state))
    assert not np.array_equal(look(half), look(state))
    assert look(state).shape == (30, 40, 3)


def test_maze_keeps_its_world_within_a_trial_and_evaluates_in_others():
    env = Trials(Maze(cells=3, horizon=2), 2)
    state, grids, starts = env.auto_reset(jax.random.key(0)), [], []
    step = jax.jit(env.auto_step)
    for _ in range(10):  # a trial has four steps, and one for its last observation
        inner = state.state.state
        grids.append(inner.world.grid.tolist())
        starts.append(int(inner.time) == 0)
        state, _ = step(state, jnp.asarray(LEFT))
    assert grids[:5] == [grids[0]] * 5
    assert grids[5:] == [grids[5]] * 5
    assert grids[0] != grids[5], "control: the next trial has another world"
    assert starts == [True, False, True, False, True] * 2
    training, held_out = Maze(worlds=5), Maze(worlds=5).eval_env
    grids = [np.asarray(env.world(jnp.asarray(number)).grid) for env in (training, held_out) for number in range(5)]
    assert len({grid.tobytes() for grid in grids}) == 10
    first = training.reset(jax.random.key(0))
    again = training.reset_same_world(first, jax.random.key(1))
    np.testing.assert_array_equal(first.world.grid, again.world.grid)
    np.testing.assert_array_equal(first.world.target, again.world.target)
    np.testing.assert_array_equal(first.position, again.position)
    moved = training.step(first, jnp.asarray(LEFT), jax.random.key(0))[0]
    assert training.reset_same_world(moved, jax.random.key(1)).heading == first.heading != moved.heading
    assert not np.array_equal(first.position, training.reset(jax.random.key(2)).position), "control: another trial"


def test_maze_text_is_a_map():
    env = Maze(cells=2)
    text = env.render_text(env.reset(jax.random.key(0)))
    assert [len(row) for row in text.split()] == [5] * 5
    assert text.count("o") == 1
    assert sum(text.count(arrow) for arrow in "→↓←↑") == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Maze(cells=1), "give cells >= 2"),
        (lambda: Maze(stride=1.5), "give 0 < stride <= 1"),
        (lambda: Maze(turn=50), "divides 360"),
        (lambda: Maze(turn=0.0), "divides 360"),
        (lambda: Maze(width=0), r"Camera\(width=0"),
        (lambda: Maze(field=180.0), "between 0 and 180 degrees"),
    ],
)
def test_mazes_and_cameras_refuse_bad_sizes(make, message):
    with pytest.raises(InputError, match=message):
        make()
