"""An agent as a run: it resumes bit for bit, its seeds know nothing of each other, and a curriculum ends at its goal."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import config, leaves, run

from engram.envs import Curriculum, NoisyRecall
from engram.reports.memory import draw_memory, units
from engram.runs.config import Config
from engram.runs.log import means, read_rows
from engram.types import InputError


@pytest.fixture(autouse=True)
def standard_promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


def acting(agent="PPO(epochs=2, minibatches=2)", estimator="RTRL()", **changes):
    settings = {"task": None, "env": "TMaze(4, extra=2)", "agent": agent, "cell": "RTU(3)", "length": 4, "steps": 160}
    return config(estimator, batch=4, **(settings | changes))


@pytest.mark.parametrize("agent", ["PPO(epochs=2, minibatches=2)", "TRPO(value_steps=1)"])
def test_an_agent_that_was_broken_off_is_as_one_that_was_not(agent, tmp_path):
    whole = run(tmp_path / "whole", acting(agent))
    run(tmp_path / "parts", acting(agent), updates=4)
    parts = run(tmp_path / "parts", acting(agent))
    for name, leaf in leaves(whole.running).items():
        np.testing.assert_array_equal(leaf, leaves(parts.running)[name], err_msg=name)


def test_a_seed_learns_what_it_would_alone(tmp_path):
    together = run(tmp_path / "together", acting("PolicyGradient()", seeds=3))
    alone = run(tmp_path / "alone", acting("PolicyGradient()", seed=6))
    ours, theirs = (jax.tree.leaves(eqx.filter(saved.models()[6], eqx.is_array)) for saved in (together, alone))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_what_is_logged_and_scored(tmp_path):
    saved = run(tmp_path, acting())
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert {"losses/policy", "losses/value", "losses/entropy", "charts/episodic_return"} <= set(rows[-1])
    scored = means(saved.evaluate(50)[5])
    assert set(scored) == {"charts/episodic_return", "charts/episodic_length"}
    assert -3 <= scored["charts/episodic_return"] <= 4
    assert 4 <= scored["charts/episodic_length"] <= 6
    played = saved.episodes(3000)[5]
    assert np.isin(played.returns, (-3, 4)).all()
    assert abs(played.lengths.mean() - 5) < 4 * np.sqrt(2 / 3 / 3000), "corridors of 4, 5 and 6 steps are as many"
    aim = saved.program.trial.aim
    assert not aim.minimise
    assert aim.levels == {"optimum": 4.0, "memoryless": 0.5, "random": 0.5}
    scene, looks = saved.watch(5, 12)
    assert scene.first[0]
    assert scene.first.sum() >= 2
    assert len(scene.output) == 12
    np.testing.assert_array_equal(scene.cue, scene.first)
    hints = np.where(scene.world.hint > 0, "▶", "◀")
    assert [look[0] for look in looks] == hints.tolist()
    assert [look.index("●") - 2 for look in looks] == np.minimum(scene.world.time, scene.world.length - 1).tolist()


def test_gymnasiums_environments_are_run_as_others_are(tmp_path):
    """Their copies are lost between the two parts of the run, and made anew."""
    settings = {"estimator": "BPTT()", "env": 'Gymnasium("CartPole-v1")', "cell": "GRU(3)", "seeds": 2}
    run(tmp_path, acting(**settings))
    saved = run(tmp_path, acting(**settings | {"steps": 320}))
    assert saved.facts["update"] == 20
    one, other = (jax.tree.leaves(eqx.filter(model, eqx.is_array)) for model in saved.models().values())
    assert not any(np.array_equal(*leaves) for leaves in zip(one, other, strict=True))
    for played in saved.episodes(20).values():
        assert (played.returns == played.lengths).all(), "each step is worth 1"
    scene, looks = saved.watch(6, 12)
    assert scene.first[0]
    assert len(looks) == 12


def test_the_memory_that_is_seen_is_the_one_that_there_is(tmp_path):
    """A policy's own, one that it is shown, or none."""
    maze = "TMaze(4, extra=2)"
    run(
        tmp_path / "memory",
        config(
            "BPTT()", task=None, episodes=f"RandomPlay({maze})", objective="MemUP()", cell="LSTM(3)", length=1, steps=28
        ),
    )
    settings = {"estimator": "BPTT()", "env": maze, "cell": "Perceptron(4)", "steps": 16, "shared": True}
    shown = run(tmp_path / "shown", acting(**settings, memory=str(tmp_path / "memory"))).watch(5, 12)[0]
    assert units(shown).shape == (12, 6), "h and c of the LSTM"
    np.testing.assert_array_equal(shown.seen[:, -3:], units(shown)[:, :3])
    nothing = run(tmp_path / "nothing", acting(**settings)).watch(5, 12)[0]
    assert units(nothing).shape == (12, 0)
    for scene in (shown, nothing):
        draw_memory(scene, "", tmp_path / "memory.png")


def test_a_curriculum_rises_with_success_and_is_scored_at_its_goal(tmp_path):
    env = Curriculum(NoisyRecall(9), "length", 5, 2, threshold=-2.0, episodes=1)

    def levels(env, actions):
        def one(play, _):
            return env.act(play, actions)[0], play.state.level

        return jax.lax.scan(one, env.begin(jax.random.key(0)), None, 60)[1]

    assert set(np.asarray(levels(env, jnp.array(1))).tolist()) == {5, 7, 9}
    never = dataclasses.replace(env, threshold=2.0)
    assert set(np.asarray(levels(never, jnp.array(1))).tolist()) == {5}
    trained = run(tmp_path, acting(env="Curriculum(NoisyRecall(9), 'length', 5, 2, 2.0)"))
    assert means(trained.evaluate(30)[5])["charts/episodic_length"] == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": None}, "a task, an env, or episodes"),
        ({"task": "Recall(3)"}, "a task, an env, or episodes"),
        ({"agent": None}, "acted in by an agent"),
        ({"env": None, "task": "Recall(3)", "shared": True, "agent": None}, "acted in by an agent"),
        ({"agent": "GRU(3)"}, "no agent"),
        ({"env": "TMazes(3)"}, "Did you mean 'TMaze'"),
        ({"agent": "PPO(env=TMaze(3))"}, "has no argument 'env'"),
        ({"env": "Curriculum(NoisyRecall(9), 'size', 5, 2, 0.8)"}, "no such whole number"),
        ({"env": "Curriculum(NoisyRecall(9), 'length', 10, 2, 0.8)"}, "1 <= start <= 9"),
        ({"env": "Curriculum(NoisyRecall(9), 'length', 3, 2, 0.8)"}, "length > cues"),
    ],
)
def test_what_cannot_be_acted_is_refused(changes, message):
    fields = {"cell": "GRU(3)", "estimator": "BPTT()", "optimiser": "adam(1e-3)", "batch": 2, "length": 4, "steps": 9}
    fields |= {"task": None, "seed": 0, "seeds": 1, "env": "TMaze(4)", "agent": "PPO()"}
    with pytest.raises(InputError, match=message):
        Config(**(fields | changes)).program()
