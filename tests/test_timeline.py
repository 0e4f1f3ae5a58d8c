"""The text of environments' states, and their cues."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from env_table import ROWS

from farback.algorithm import Timeline
from farback.cli.watch import describe, show_timeline
from farback.envs import Curriculum, NoisyRecall, PreviousActionReward, Target, TMaze
from farback.envs.text import WIDTH, track


def states(env, count):
    def one(state, _):
        return env.auto_step(state, jax.tree.map(jnp.zeros_like, env.action_space.sample()))[0], state.state

    with jax.numpy_dtype_promotion("standard"):
        found = jax.lax.scan(one, env.auto_reset(jax.random.key(1)), None, count)[1]
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, found))
    return [jax.tree.unflatten(structure, state) for state in zip(*leaves, strict=True)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.env))
def test_every_state_is_one_line_of_text(row):
    with jax.enable_x64(False):
        for state in states(row.env, 30):
            line = row.env.render_text(state)
            assert line.strip()
            assert "\n" not in line


@pytest.mark.parametrize(
    ("env", "length", "cues"),
    [
        (TMaze(5), 5, 1),
        (NoisyRecall(7, cues=3), 7, 3),
        (PreviousActionReward(TMaze(5)), 5, 1),
        (Curriculum(NoisyRecall(9), "length", 7, 1, 9.0), 7, 4),
    ],
    ids=str,
)
def test_cues_are_the_steps_that_show_what_is_needed_later(env, length, cues):
    assert [bool(env.cue(jax.tree.map(jnp.asarray, state))) for state in states(env, length)] == [
        step < cues for step in range(length)
    ]


def test_the_text_of_a_maze_shows_hint_and_place():
    env = TMaze(5)
    assert [env.render_text(state)[2:] for state in states(env, 5)] == ["●····┤", "·●···┤", "··●··┤", "···●·┤", "····●┤"]
    assert {env.render_text(env.reset(jax.random.key(seed)))[0] for seed in range(20)} == {"▶", "◀"}
    assert "from the centre" in Target().render_text(Target().reset(jax.random.key(0)))


def test_a_long_track_is_shortened():
    lines = [track(place, 1000) for place in (0, 999, 1200)]
    assert [len(line) for line in lines] == 3 * [WIDTH]
    assert [line.index("●") for line in lines] == [0, WIDTH - 1, WIDTH - 1]
    assert track(-3, 4) == "●···"


ACTIONS = {
    "one choice": (jnp.array([2, 1]), "2", 2),
    "choices": (jnp.array([[2, 0], [1, 1]]), "2 0", [2, 0]),
    "numbers": (jnp.array([[0.25, -1.0], [0.0, 0.0]]), "0.25 -1", [0.25, -1]),
    "a number": (jnp.array([0.25, 0.5]), "0.25", 0.25),
    "a structure": ({"action": jnp.array([3, 1]), "write": jnp.array([[0.5], [0.0]])}, "3 | 0.5", [3, 0.5]),
}


@pytest.mark.parametrize(("action", "text", "listed"), ACTIONS.values(), ids=ACTIONS)
def test_actions_of_every_structure_are_shown(action, text, listed, capsys):
    none = jnp.zeros(2, bool)
    timeline = Timeline(none, none, jnp.zeros((2, 1)), action, jnp.zeros((2, 1)), {})
    show_timeline(timeline, ["here", "there"], "", acts=True)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "here" in line.split()]
    assert line.partition("here")[2].strip() == text
    assert describe(timeline, ["here", "there"], acts=True)[0]["action"] == listed
