"""The run of an agent: it resumes bit for bit, its seeds are independent, and a curriculum is scored at its goal."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import run

from farback import configure
from farback.envs import Curriculum, NoisyRecall
from farback.reports.memory import draw_memory, units
from farback.runs.log import means, read_rows
from farback.types import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def standard_promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


def agent(algorithm="ppo", estimator="RTRL()", **changes):
    settings = {"env": "TMaze(4, extra=2)", "cell": "RTU(3)", "optimizer": "adam(1e-2)", "num_envs": 4, "window": 4}
    settings |= {"estimator": estimator, "total_steps": 160, "seed": 5, "log_every": 3}
    settings |= {"epochs": 2, "minibatches": 2} if algorithm == "ppo" else {}
    return configure(algorithm, **(settings | changes))


def test_a_seed_learns_what_it_would_alone(tmp_path):
    together = run(tmp_path / "together", agent("policy-gradient", seeds=3))
    alone = run(tmp_path / "alone", agent("policy-gradient", seed=6))
    ours, theirs = (jax.tree.leaves(eqx.filter(saved.networks()[6], eqx.is_array)) for saved in (together, alone))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_the_log_and_the_scores_have_their_metrics(tmp_path):
    saved = run(tmp_path, agent())
    row = read_rows(tmp_path / "metrics.jsonl")[-1]
    losses = {"policy_loss", "value_loss", "entropy", "approx_kl", "clipfrac", "explained_variance", "grad_norm"}
    assert {f"losses/{name}" for name in losses} | {"charts/episodic_return", "charts/learning_rate"} <= set(row)
    scored = means(saved.evaluate(episodes=50)[5])
    assert set(scored) == {"charts/episodic_return", "charts/episodic_length"}
    assert -3 <= scored["charts/episodic_return"] <= 4
    assert 4 <= scored["charts/episodic_length"] <= 6
    criterion = saved.algorithm.criterion
    assert not criterion.minimise
    assert criterion.levels == {"optimum": 4.0, "memoryless": 0.5, "random": 0.5}


@pytest.mark.slow
def test_episodes_are_scored_whole(tmp_path):
    metrics = run(tmp_path, agent()).evaluate(episodes=3000)[5]
    returns, lengths = (np.asarray(metrics[f"charts/episodic_{name}"].total) for name in ("return", "length"))
    assert returns.shape == (3000,)
    assert np.isin(returns, (-3, 4)).all()
    assert abs(lengths.mean() - 5) < 4 * np.sqrt(2 / 3 / 3000), "corridors of 4, 5 and 6 steps are equally likely"


def test_a_timeline_shows_the_states_of_the_environment(tmp_path):
    timeline, lines = run(tmp_path, agent()).timeline(5, 12)
    assert timeline.first[0]
    assert timeline.first.sum() >= 2
    assert len(timeline.output) == 12
    np.testing.assert_array_equal(timeline.cue, timeline.first)
    hints = np.where(timeline.world.hint > 0, "▶", "◀")
    assert [line[0] for line in lines] == hints.tolist()
    places = np.minimum(timeline.world.time, timeline.world.length - 1)
    assert [line.index("●") - 2 for line in lines] == places.tolist()


@pytest.mark.slow
def test_environments_of_gymnasium_are_trained_scored_and_watched(tmp_path):
    """The host's copies of the environment are lost between the two parts of the run and made anew."""
    settings = {"estimator": "BPTT()", "env": 'Gymnasium("CartPole-v1")', "cell": "GRU(3)", "seeds": 2}
    run(tmp_path, agent(**settings))
    saved = run(tmp_path, agent(**settings | {"total_steps": 320}))
    assert saved.facts["update"] == 20
    one, other = (jax.tree.leaves(eqx.filter(network, eqx.is_array)) for network in saved.networks().values())
    assert not any(
        np.array_equal(*pair) for pair in zip(one, other, strict=True) if pair[0].dtype.kind == "f" and pair[0].any()
    )
    for metrics in saved.evaluate(episodes=20).values():
        returns, lengths = (metrics[f"charts/episodic_{name}"].total for name in ("return", "length"))
        assert (returns == lengths).all(), "each step has the reward 1"
    timeline, lines = saved.timeline(6, 12)
    assert timeline.first[0]
    assert len(lines) == 12


@pytest.mark.slow
def test_a_timeline_has_the_memory_that_the_network_reads(tmp_path):
    """The memory is the network's own, a pretrained one, or none."""
    maze = "TMaze(4, extra=2)"
    small = {"cell": "LSTM(3)", "window": 1, "batch_size": 2, "total_steps": 28, "log_every": 1}
    run(tmp_path / "memory", configure("memup", data=f"RandomEpisodes({maze})", **small))
    settings = {"estimator": "BPTT()", "env": maze, "cell": "MLP(4)", "total_steps": 16, "shared_memory": True}
    shown = run(tmp_path / "shown", agent(**settings, memory=f"Pretrained('{tmp_path / 'memory'}')")).timeline(5, 12)[0]
    assert units(shown).shape == (12, 6), "h and c of the LSTM"
    nothing = run(tmp_path / "nothing", agent(**settings)).timeline(5, 12)[0]
    assert units(nothing).shape == (12, 0)
    for timeline in (shown, nothing):
        draw_memory(timeline, "", tmp_path / "memory.png")


def test_a_curriculum_rises_with_success_and_is_scored_at_its_goal(tmp_path):
    env = Curriculum(NoisyRecall(9), "length", 5, 2, threshold=-2.0, episodes=1)

    def levels(env, actions):
        def one(state, _):
            return env.auto_step(state, actions)[0], state.state.level

        return jax.lax.scan(one, env.auto_reset(jax.random.key(0)), None, 60)[1]

    assert set(np.asarray(levels(env, jnp.array(1))).tolist()) == {5, 7, 9}
    never = dataclasses.replace(env, threshold=2.0)
    assert set(np.asarray(levels(never, jnp.array(1))).tolist()) == {5}
    trained = run(tmp_path, agent(env="Curriculum(NoisyRecall(9), 'length', 5, 2, 2.0)"))
    assert means(trained.evaluate(episodes=30)[5])["charts/episodic_length"] == 9


@pytest.mark.parametrize(
    ("algorithm", "changes", "message"),
    [
        ("ppo", {"env": None}, "env = None: give an expression of the kind Env"),
        ("ppo", {"task": "Recall(3)"}, "ppo has no argument 'task'"),
        ("supervised", {"env": "TMaze(3)", "task": "Recall(3)"}, "supervised has no argument 'env'"),
        ("supervised", {"task": "Recall(3)", "shared_memory": True}, "supervised has no argument 'shared_memory'"),
        ("ppo", {"cell": "PPO()"}, "There is no Cell 'PPO'|is not of the kind Cell"),
        ("ppo", {"env": "TMazes(3)"}, "Did you mean 'TMaze'"),
        ("ppo", {"env": "Recall(3)"}, "is not of the kind Env"),
        ("memup-agent", {"agent": "PPO(env=TMaze(3))"}, "has no argument 'env'"),
        ("memup-agent", {"agent": "GRU(3)"}, "is not of the kind OnPolicyAgent"),
        ("ppo", {"env": "Curriculum(NoisyRecall(9), 'size', 5, 2, 0.8)"}, "no such whole number"),
        ("ppo", {"env": "Curriculum(NoisyRecall(9), 'length', 10, 2, 0.8)"}, "1 <= start <= 9"),
        ("ppo", {"env": "Curriculum(NoisyRecall(9), 'length', 3, 2, 0.8)"}, "length > cues"),
    ],
)
def test_arguments_that_do_not_fit_an_algorithm_are_refused(algorithm, changes, message):
    usual = {"cell": "GRU(3)", "optimizer": "adam(1e-3)", "window": 4}
    usual |= {} if algorithm == "supervised" else {"env": "TMaze(4)", "num_envs": 4}
    with pytest.raises(InputError, match=message):
        configure(algorithm, **(usual | changes)).program()
