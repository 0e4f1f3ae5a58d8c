"""How environments show themselves to people, and which of their steps are to be remembered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from env_table import ROWS

from engram.envs import Curriculum, NoisyRecall, Previous, Target, TMaze
from engram.envs.text import WIDTH, track


def states(env, count):
    def one(play, _):
        return env.act(play, jax.tree.map(jnp.zeros_like, env.action_space.sample()))[0], play.state

    with jax.numpy_dtype_promotion("standard"):
        found = jax.lax.scan(one, env.begin(jax.random.key(1)), None, count)[1]
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, found))
    return [jax.tree.unflatten(structure, state) for state in zip(*leaves, strict=True)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.env))
def test_every_state_is_a_line(row):
    with jax.enable_x64(False):
        for state in states(row.env, 30):
            look = row.env.text(state)
            assert look.strip()
            assert "\n" not in look


@pytest.mark.parametrize(
    ("env", "length", "cues"),
    [
        (TMaze(5), 5, 1),
        (NoisyRecall(7, cues=3), 7, 3),
        (Previous(TMaze(5)), 5, 1),
        (Curriculum(NoisyRecall(9), "length", 7, 1, 9.0), 7, 4),
    ],
    ids=str,
)
def test_cues_are_where_something_is_to_be_remembered(env, length, cues):
    assert [bool(env.cue(jax.tree.map(jnp.asarray, state))) for state in states(env, length)] == [
        step < cues for step in range(length)
    ]


def test_what_is_shown_is_what_is():
    env = TMaze(5)
    assert [env.text(state)[2:] for state in states(env, 5)] == ["●····┤", "·●···┤", "··●··┤", "···●·┤", "····●┤"]
    assert {env.text(env.reset(jax.random.key(seed)))[0] for seed in range(20)} == {"▶", "◀"}
    assert "from the centre" in Target().text(Target().reset(jax.random.key(0)))


def test_a_long_way_is_shortened():
    looks = [track(place, 1000) for place in (0, 999, 1200)]
    assert [len(look) for look in looks] == 3 * [WIDTH]
    assert [look.index("●") for look in looks] == [0, WIDTH - 1, WIDTH - 1]
    assert track(-3, 4) == "●···"
