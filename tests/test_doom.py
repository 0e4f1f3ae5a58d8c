"""Worlds of ViZDoom: their archives, their twins, and engines that die."""

import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from farback.envs import Doom, Maze, PreviousActionReward, TakeCover, Trials, TwoColors
from farback.envs.doom.doom import maker
from farback.envs.doom.engine import Engine
from farback.envs.doom.pictures import shrunk
from farback.envs.doom.wad import BLOCK, png, udmf, wad
from farback.envs.raycast.maze import MazeState, Start, World
from farback.types import InputError

pytestmark = pytest.mark.slow


@pytest.fixture
def made(request):
    """Makes an environment of a scenario in this process, and closes it."""
    envs = []

    def make(scenario, episodes=None, **options):
        envs.append(maker(scenario, episodes, options)())
        return envs[-1]

    yield make
    for env in envs:
        env.close()


def engines(home):
    """The numbers of the engines that were started from a directory."""

    def runs(path):
        try:
            return f"{home}".encode() in (path / "cmdline").read_bytes() and path.name != str(os.getpid())
        except OSError:  # it has ended meanwhile
            return False

    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and runs(path)]


def kill(home):
    for number in engines(home):
        os.kill(number, signal.SIGKILL)


def lumps(data):
    """The lumps of an archive, read by the rules of the format."""
    kind, count, start = struct.unpack_from("<4sii", data)
    assert kind == b"PWAD"
    entries = [struct.unpack_from("<ii8s", data, start + 16 * at) for at in range(count)]
    return [(name.rstrip(b"\0").decode(), data[begin : begin + size]) for begin, size, name in entries]


def test_an_archive_has_the_lumps_that_it_was_made_of():
    given = [("MAP01", b""), ("TEXTMAP", b"things"), ("ENDMAP", b"")]
    assert lumps(wad(given)) == given


def test_a_png_is_the_image():
    rng = np.random.default_rng(0)
    for channels, mode in ((3, "RGB"), (4, "RGBA")):
        image = rng.integers(0, 256, (5, 7, channels)).astype(np.uint8)
        read = Image.open(io.BytesIO(png(image, foot=(3, 5))))
        assert read.mode == mode
        np.testing.assert_array_equal(np.asarray(read), image)


def test_a_map_has_a_wall_for_each_side_of_a_free_block_next_to_one_that_is_not():
    grid = np.array([[1, 1, 1, 1], [1, 0, 0, 2], [1, 1, 1, 1]])
    text = udmf(grid, {1: "ONE", 2: "TWO"}, [(1, 1.5, 1.5, 90)])
    assert text.count("linedef{") == text.count("sidedef{") == 6
    assert text.count('"TWO"') == 1
    assert text.count("vertex{") == 6, "corners are shared"
    assert f"thing{{type=1;x={1.5 * BLOCK:g};y={-1.5 * BLOCK:g};angle=90;" in text


@pytest.mark.parametrize("size", [(30, 40), (64, 64), (120, 160), (7, 9)])
def test_small_pictures_are_means_of_blocks(size):
    screen = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    found = shrunk(screen, *size)
    assert found.shape == (*size, 3)
    (rows, columns), (height, width) = screen.shape[:2], size
    y, x = height // 2, width // 3
    block = screen[y * rows // height : (y + 1) * rows // height, x * columns // width : (x + 1) * columns // width]
    np.testing.assert_array_equal(found[y, x], block.reshape(-1, 3).mean(axis=0).astype(int))


@pytest.mark.parametrize(
    ("doom", "twin"),
    [
        (lambda: Doom("two-colors", processes=1), TwoColors()),
        (lambda: Doom("maze", processes=1, cells=3), Maze(cells=3)),
        (lambda: Doom("take_cover", processes=1), TakeCover()),
        (lambda: PreviousActionReward(Doom("maze", processes=1, episodes=2)), PreviousActionReward(Trials(Maze(), 2))),
    ],
    ids=["two-colors", "maze", "take_cover", "trials"],
)
def test_twins_have_the_same_spaces(doom, twin):
    env = doom()
    assert env.observation_space == twin.observation_space
    assert env.action_space == twin.action_space


@pytest.mark.parametrize("options", [{}, {"cells": 3, "stride": 0.2, "turn": 18.0}], ids=["cells", "small steps"])
def test_a_maze_has_the_rules_and_the_pictures_of_its_twin(made, options):
    maze = Maze(**options)
    env = made("maze", **options)
    step, observe = jax.jit(maze.step), jax.jit(maze.observe)
    rng, apart, control = np.random.default_rng(1), [], []
    for episode in range(3):
        seen = env.reset(seed=episode)[0]
        start = Start(jnp.asarray(env.position), jnp.asarray(env.heading))
        state = MazeState(World(jnp.asarray(env.grid), jnp.asarray(env.target)), start, *start, jnp.zeros((), int))
        ended = False
        for _ in range(15):
            if ended:
                break
            expected = np.asarray(observe(state)).astype(float)
            apart.append(np.abs(seen - expected).mean())
            control.append(np.abs(seen - expected[:, ::-1]).mean())
            action = int(rng.choice(3, p=(0.2, 0.2, 0.6)))
            seen, reward, terminated, truncated, _ = env.step(action)
            state, feedback = step(state, jnp.asarray(action), jax.random.key(0))
            np.testing.assert_allclose(reward, feedback.reward, rtol=1e-6)
            np.testing.assert_allclose(env.position, state.position, atol=1e-4)
            assert (terminated, truncated) == (bool(feedback.terminated), bool(feedback.truncated))
            ended = terminated or truncated
    assert np.mean(apart) < 30, "the light differs"
    assert np.mean(control) > 1.5 * np.mean(apart), "control: the picture from right to left"


def test_trials_of_a_maze_keep_the_world_and_the_start(made):
    env = made("maze", episodes=2, cells=3, horizon=3)
    seen, _ = env.reset(seed=0)
    first = seen["observation"]
    ends = []
    for _ in range(6):
        seen, _, terminated, truncated, _ = env.step(0)
        ends.append((int(seen["ended"][0]), terminated, truncated))
        if len(ends) == 3:
            np.testing.assert_array_equal(seen["observation"], first)
    assert ends == [(0, False, False)] * 2 + [(1, False, False)] + [(0, False, False)] * 2 + [(1, True, False)]


def red_or_green(picture):
    """Whether a column of one colour stands in the middle of the picture."""
    red, green, _ = picture[10:20, 19:22].reshape(-1, 3).astype(int).mean(axis=0)
    return abs(red - green) > 60


def test_two_colors_shows_a_column_for_its_steps_and_starves_the_idle(made):
    env = made("two-colors", shown=10)
    idle = 0, 0
    env.scenario = env.scenario._replace(actions=[idle] * 5)
    shown, lives = [], []
    for episode in range(4):
        picture, _ = env.reset(seed=episode)
        before = [red_or_green(picture)]
        while True:
            picture, _, terminated, truncated, _ = env.step(0)
            before.append(red_or_green(picture))
            if terminated or truncated:
                break
        shown.append(before)
        lives.append(len(before) - 1)
    assert max(lives) == 100, "one point of health in each step"
    for before in shown:
        assert before[:9] == [True] * 9
        assert not any(before[12:])


def test_two_colors_rewards_one_colour_and_its_episodes_depend_on_the_seed(made):
    env = made("two-colors")

    def played(seed, steps=60):
        rng, pictures, rewards = np.random.default_rng(0), [env.reset(seed=seed)[0]], []
        for _ in range(steps):
            picture, reward, terminated, truncated, _ = env.step(int(rng.integers(5)))
            pictures.append(picture)
            rewards.append(reward)
            if terminated or truncated:
                break
        return np.stack(pictures), rewards

    (one, rewards), (again, same), (other, _) = played(3), played(3), played(4)
    np.testing.assert_array_equal(one, again)
    assert rewards == same
    assert one.shape != other.shape or (one != other).any(), "control: another seed"
    taken = {round(reward - 0.02) for seed in range(8) for reward in played(seed)[1]}
    assert {-1, 0, 1} <= taken


def test_scenarios_of_the_package_have_an_action_for_each_button(made):
    env = made("take_cover")
    assert env.reset(seed=0)[0].shape == (64, 64, 3)
    picture, reward, *_ = env.step(0)
    assert reward == 1.0
    moved = env.reset(seed=0)[0]
    for _ in range(4):
        moved = env.step(1)[0]
    assert (moved != picture).any()
    assert made("health_gathering").action_space.n == 4


def test_an_engine_that_dies_is_started_again_and_two_deaths_in_a_row_are_an_error(made, capfd):
    env = made("two-colors")
    env.reset(seed=0)
    kill(env.engine.home)
    assert env.step(0)[1:4] == (0.0, False, True)
    assert "it is started again, and the episode is truncated" in capfd.readouterr().err
    env.reset()
    assert env.step(0)[3] is False
    kill(env.engine.home)
    assert env.reset()[0].any(), "a new engine begins the episode"
    env.step(0)
    kill(env.engine.home)
    assert env.step(0)[3] is True
    env.engine.dead = True  # as after a death in the step before
    kill(env.engine.home)
    with pytest.raises(InputError, match="died twice in a row"):
        env.step(0)


def test_an_engine_that_dies_truncates_a_trial(made):
    env = made("maze", episodes=3, cells=3, horizon=2)
    env.reset(seed=0)
    env.step(0)
    kill(env.env.engine.home)
    assert env.step(0)[2:4] == (False, True)
    assert env.reset()[0]["observation"].any()
    assert env.step(0)[3] is False


def test_an_engine_that_dies_between_two_episodes_of_a_trial_truncates_it(made, monkeypatch):
    env = made("maze", episodes=3, cells=3, horizon=2)
    env.reset(seed=0)
    env.step(0)
    step = env.env.step

    def step_and_die(action):
        found = step(action)
        kill(env.env.engine.home)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(env.env, "step", step_and_die)
        assert env.step(0)[2:4] == (False, True)
    assert env.reset()[0]["observation"].any()
    assert env.step(0)[3] is False


def test_no_engine_outlives_its_process():
    """Whatever ends the process: the engine ends too."""
    script = textwrap.dedent("""
        import sys, time
        from farback.envs.doom.doom import maker
        env = maker("two-colors", None, {})()
        env.reset(seed=0)
        print(env.engine.home, flush=True)
        time.sleep(600)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    home = process.stdout.readline().strip()

    assert engines(home), "control: it runs"
    process.kill()
    process.wait()
    process.stdout.close()
    for _ in range(100):
        if not engines(home):
            break
        time.sleep(0.1)
    shutil.rmtree(home)
    assert not engines(home)


@pytest.mark.parametrize("directory", ["with a space", 130 * "x"])
def test_a_path_that_the_engine_cannot_read_is_refused(directory, tmp_path, monkeypatch):
    (tmp_path / directory).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / directory))
    with pytest.raises(InputError, match="Set TMPDIR to a shorter one"):
        Engine(b"", ())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Doom("two-colours"), "Did you mean 'two-colors'"),
        (lambda: Doom("my_way_hom"), "Did you mean 'my_way_home'"),
        (lambda: Doom("maze", cells=1), "give cells >= 2"),
        (lambda: Doom("maze", episodes=0), "give episodes >= 1"),
        (lambda: Doom("two-colors", episodes=2), "only 'maze' has trials"),
        (lambda: Doom("take_cover", horizon=3), "has no argument 'horizon'"),
    ],
)
def test_a_wrong_argument_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(InputError, match=r"pip install 'farback\[vizdoom\]'"):
        Doom("maze")
