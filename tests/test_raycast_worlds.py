"""Worlds that are seen from within: their rules, and their returns by scripted players."""

from functools import cache, partial

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from test_raycast import hue
from test_raycast import shortest as search

from farback import PPO, ActorCriticNetwork
from farback.cells import GRU
from farback.envs import GymEnv, Maze, MemoryMaze, TakeCover, TMaze, TwoColors, Watermaze
from farback.envs.raycast import players, two_colors
from farback.envs.raycast.textures import COLOURS
from farback.envs.raycast.walking import LEFT, walk
from farback.reports.film import draw_film
from farback.types import InputError

PLAYERS = {
    TwoColors: players.collect,
    TakeCover: players.dodge,
    MemoryMaze: players.shortest_ways,
    Watermaze: players.straight_back,
    Maze: players.shortest_way,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLAYERS)
def test_worlds_state_the_returns_of_their_players(kind):
    env = kind()
    for stated, player in ((env.optimum, PLAYERS[kind]), (env.random, players.at_random(env))):
        returns, *_ = players.play(env, player, 64, jax.random.key(7))
        error = np.std(returns) / np.sqrt(len(returns))
        assert abs(np.mean(returns) - stated) < 4 * error + 0.01 * abs(stated)


def test_walkers_slide_along_walls():
    grid = jnp.pad(jnp.zeros((4, 4), int), 1, constant_values=1)
    diagonal = jnp.array([1.0, 1.0]) / np.sqrt(2)
    place, bumped = walk(grid, jnp.array([4.5, 2.0]), diagonal, 1.0)
    np.testing.assert_allclose(place, [4.5, 2 + np.sqrt(0.5)])
    assert bumped
    place, bumped = walk(grid, jnp.array([2.0, 2.0]), diagonal, 1.0)
    np.testing.assert_allclose(place, 2 + np.sqrt([0.5, 0.5]))
    assert not bumped
    thin = grid.at[2, 3].set(1)
    place, bumped = walk(thin, jnp.array([2.5, 2.5]), jnp.array([1.0, 0.0]), 2.0)
    assert bumped, "a wall within a step stops it, though its end is free"
    np.testing.assert_allclose(place, [2.5, 2.5])


@cache
def stepped(env):
    return jax.jit(env.step), jax.jit(env.observe)


def advance(env, state, actions, key=0):
    """The state, and the total reward, after actions."""
    total = 0.0
    for action in actions:
        state, feedback = stepped(env)[0](state, jnp.asarray(action), jax.random.key(key))
        total += float(feedback.reward)
    return state, total, feedback


def nowhere(state):
    """The state with all things in a corner, out of reach."""
    return state._replace(items=jnp.full_like(state.items, 10.7))


def test_two_colors_column_is_seen_and_then_gone():
    env = TwoColors(shown=3, horizon=200)
    seen = {}
    for red in (True, False):
        state = nowhere(env.reset(jax.random.key(0)))._replace(red_heals=jnp.array(red))
        middle = hue(stepped(env)[1](state))[13:17, 20]
        assert set(middle.tolist()) == {0 if red else 1}, "the column has the colour that heals"
        assert env.cue(state)
        state = state._replace(time=jnp.array(3))
        assert not env.cue(state)
        seen[red] = np.asarray(stepped(env)[1](state))
    np.testing.assert_array_equal(seen[True], seen[False])


def test_two_colors_health():
    env = TwoColors(shown=3, horizon=200)
    start = nowhere(env.reset(jax.random.key(0)))
    _, total, feedback = advance(env, start, [LEFT] * 99)
    np.testing.assert_allclose(total, 99 * 0.02)
    assert not feedback.terminated
    _, _, feedback = advance(env, start._replace(health=jnp.array(1.0)), [LEFT])
    assert feedback.terminated
    assert not feedback.truncated
    for red, item in ((True, 0), (True, 10), (False, 0), (False, 10)):
        state = start._replace(red_heals=jnp.array(red), health=jnp.array(50.0))
        state = state._replace(items=state.items.at[item].set(state.position))
        after, total, _ = advance(env, state, [LEFT])
        gain = 1 if red == (item < 10) else -1
        np.testing.assert_allclose(total, 0.02 + gain)
        assert after.health == 49 + 25 * gain
        moved = np.abs(after.items - state.items).max(axis=1) > 0
        assert np.flatnonzero(moved).tolist() == [item], "what was taken appears at another place"
    full = start._replace(red_heals=jnp.array(True), items=start.items.at[0].set(start.position))
    assert advance(env, full, [LEFT])[0].health == 99, "the health has a maximum"
    late = start._replace(time=jnp.array(199))
    assert advance(env, late, [LEFT])[2].truncated


def test_two_colors_moves():
    env = TwoColors()
    start = nowhere(env.reset(jax.random.key(0)))
    turn = 2 * np.pi / two_colors.HEADINGS
    for action, (turns, steps) in enumerate(two_colors.MOVES):
        after, _, _ = advance(env, start, [action])
        assert after.heading - start.heading == turns
        angle = turn * (3 + turns)
        way = np.array([np.cos(angle), np.sin(angle)]) * two_colors.STRIDE * steps
        np.testing.assert_allclose(after.position - start.position, way, atol=1e-6)


def test_take_cover_fireballs_arrive_where_the_agent_was():
    env = TakeCover()
    start = env.reset(jax.random.key(0))
    hands = jnp.array([11.0, float(start.monsters[0])])
    aim = jnp.array([0.5, 4.0]) - hands
    flying = start._replace(
        fireballs=start.fireballs.at[0].set(hands),
        velocities=start.velocities.at[0].set(0.4 * aim / jnp.linalg.norm(aim)),
        flying=start.flying.at[0].set(True),
    )
    arrives = round(float(jnp.linalg.norm(aim)) / 0.4)
    assert not advance(env, flying, [0] * (arrives - 2), key=1)[2].terminated
    hits = [advance(env, flying, [0] * count, key=1)[2].terminated for count in (arrives - 1, arrives)]
    assert any(hits), "the fireball hits one who stays"
    misses = [advance(env, flying, [1] * 10 + [0] * (count - 10), key=1)[2].terminated for count in range(11, arrives + 2)]
    assert not any(misses), "and misses one who goes"
    still = advance(env, start, [1] * 60, key=1)[0]
    assert np.isclose(still.position, 0.3), "the agent stays within the room"


def test_take_cover_monsters_appear_with_time():
    env = TakeCover()
    start = env.reset(jax.random.key(0))
    states = [start._replace(time=jnp.array(time)) for time in (0, 99, 100, 699, 700, 2000)]
    assert [int(env.view(state).sprites.shown.sum()) for state in states] == [1, 1, 2, 7, 8, 8]


def test_memory_maze_asks_by_its_border_and_then_for_another():
    env = MemoryMaze(cells=3)
    state = env.reset(jax.random.key(0))
    places = {tuple(place) for place in np.asarray(state.things).tolist()}
    assert len(places) == 3
    for _ in range(3):
        picture = np.asarray(stepped(env)[1](state))
        border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert (border == COLOURS[int(state.wanted)]).all()
        assert (picture[1:-1, 1:-1] != border[0]).any()
        while True:
            before = state
            action = players.shortest_ways.act((), state, jax.random.key(0))[1]
            state, reward, _ = advance(env, state, [action])
            if reward:
                break
        assert reward == 1
        np.testing.assert_array_equal(np.floor(state.position), state.things[before.wanted])
        assert state.wanted != before.wanted
        np.testing.assert_array_equal(state.things, before.things)
        np.testing.assert_array_equal(state.grid, before.grid)


def test_watermaze_platform_is_not_seen_and_stays():
    env = Watermaze()
    state = env.reset(jax.random.key(0))
    other = state._replace(platform=state.platform + 1)
    np.testing.assert_array_equal(stepped(env)[1](state), stepped(env)[1](other))
    found = 0
    for count in range(60):
        action = players.straight_back.act((), state, jax.random.key(0))[1]
        after, reward, _ = advance(env, state, [action], key=count)
        if reward:
            found += 1
            assert np.linalg.norm(after.position - state.position) > 0.5, "the agent is put at another place"
        np.testing.assert_array_equal(after.platform, state.platform)
        state = after
    assert found >= 2
    middle = state._replace(position=jnp.array([5.0, 5.0]))
    views = [stepped(env)[1](middle._replace(heading=jnp.array(turn))) for turn in (0, 3, 6, 9)]
    assert len({np.asarray(view).tobytes() for view in views}) == 4, "each wall has another texture"


def test_shortest_ways_are_those_of_a_search():
    env = Maze(cells=3)
    for seed in range(5):
        state = env.reset(jax.random.key(seed))
        expected, count, feedback = len(search(env, state)), 0, None
        while feedback is None or not feedback.terminated:
            state, _, feedback = advance(env, state, [players.shortest_way.act((), state, jax.random.key(0))[1]])
            count += 1
        assert count == expected


def test_left_wall_leads_to_every_cell():
    env = Maze(cells=3, horizon=200)
    _, lengths, found = players.play(env, players.left_wall, 50, jax.random.key(0))
    shortest = players.play(env, players.shortest_way, 50, jax.random.key(0)).lengths
    assert found.all()
    assert (lengths < 200).all()
    assert (lengths >= shortest).all()
    assert (lengths > shortest).any()


def test_trials_of_players_are_episodes_in_one_world():
    """A deterministic player that takes shortest ways needs as many steps in each episode of a trial."""
    env, both = Maze(cells=4), (players.left_wall, players.shortest_way, players.shortest_way)
    played = players.play_trials(env, both, 40, jax.random.key(0))
    assert played.lengths.shape == (40, 3)
    first, second, third = played.lengths.T
    np.testing.assert_array_equal(second, third)
    assert (second <= first).all()
    assert (second < first).any()
    assert len(set(second.tolist())) > 5, "control: trials are in different worlds"


@pytest.mark.parametrize("kind", PLAYERS)
def test_worlds_have_images_for_people(kind):
    env = kind()
    state = env.reset(jax.random.key(0))
    images = jax.jit(env.render_images)(state)
    assert images["view"].shape == (240, 320, 3)
    small = np.asarray(env.observe(state)).astype(float)
    large = np.asarray(images["view"]).astype(float)
    assert np.abs(large.mean((0, 1)) - small.mean((0, 1))).max() < 12, "the same view in another size"
    rows, columns = env.view(state).grid.shape
    height, width, _ = images["map"].shape
    assert height * columns == width * rows
    assert max(height, width) <= 240
    pose = env.view(state).pose
    x, y = (np.asarray(pose.position) * height / rows).astype(int)
    assert images["map"][y, x].sum() < 100, "the agent is dark"
    assert sum(env.render_text(state).count(arrow) for arrow in "→↘↓↙←↖↑↗") == 1


def test_gymnasium_renders_the_view():
    env = gymnasium.make("farback/Watermaze-v0", render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    np.testing.assert_array_equal(env.render(), env.env.render_images(env._state.state)["view"])
    with pytest.raises(InputError, match="TMaze has the modes 'ansi'; give one, or None"):
        GymEnv(TMaze(3), "rgb_array")


@pytest.mark.slow
def test_a_film_shows_images_above_the_memory(tmp_path):
    agent = PPO(Maze(2, horizon=5), ActorCriticNetwork(partial(GRU, size=4)), num_envs=4, window=4)
    timeline = agent.timeline(agent.network_in(agent.init(jax.random.key(0))), jax.random.key(1), 3)
    images = list(agent.render_images(timeline))
    assert [sorted(each) for each in images] == [["map", "observation", "view"]] * 3
    for each, observation in zip(images, timeline.observation, strict=True):
        np.testing.assert_array_equal(each["observation"], observation)
    draw_film(timeline, agent.render_steps(timeline), images, "A maze", tmp_path / "with.gif")
    draw_film(timeline, agent.render_steps(timeline), [{}] * 3, "A maze", tmp_path / "without.gif")
    with PIL.Image.open(tmp_path / "with.gif") as film, PIL.Image.open(tmp_path / "without.gif") as plain:
        assert film.n_frames == 3
        assert film.height == plain.height + 240 + 32
        enlarged = np.asarray(film.convert("RGB"))[20 + 4 : 20 + 240 : 8, 16 + 4 : 16 + 320 : 8]
    assert np.abs(enlarged.astype(int) - np.asarray(timeline.observation[0]).astype(int)).mean() < 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TwoColors(shown=0), "give 1 <= shown < horizon"),
        (lambda: TwoColors(shown=50, horizon=50), "give 1 <= shown < horizon"),
        (lambda: TakeCover(horizon=0), "give horizon >= 1"),
        (lambda: MemoryMaze(cells=1), "give cells >= 2"),
        (lambda: MemoryMaze(cells=2, things=4), "give 2 <= things <= 3"),
        (lambda: MemoryMaze(things=1), "give 2 <= things <= 7"),
        (lambda: Watermaze(size=2), "give size >= 3"),
        (lambda: Watermaze(height=0), r"Camera\(width=40, height=0"),
    ],
)
def test_worlds_refuse_bad_sizes(make, message):
    with pytest.raises(InputError, match=message):
        make()
