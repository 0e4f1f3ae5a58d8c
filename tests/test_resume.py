"""Every algorithm resumes bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import identical, leaves, rows, run

from farback import configure
from farback.runs.algorithms import ALGORITHMS, arguments

TASK = {"task": "Recall(3)", "cell": "GRU(4)", "batch_size": 2}
ENV = {"env": "TMaze(3, extra=1)", "cell": "GRU(3)", "num_envs": 4, "window": 4}
REPLAY = {"buffer_size": 60, "batch_size": 3, "sequence_length": 2, "learning_starts": 24, "gradient_steps": 2}
BOX, CRITIC = ENV | REPLAY | {"env": "HighLow(3)"}, {"critic_size": 4}
CURRICULUM = "Curriculum(NoisyRecall(9), 'length', 5, 1, -9.0, episodes=1)"
MEMUP = {"data": "RandomEpisodes(TMaze(3, extra=1))", "cell": "LSTM(3)", "batch_size": 2, "window": 2}

# One line per algorithm: its name in the command line, and the arguments of a small run.
EVOLUTION = {"env": "TMaze(3)", "cell": "GRU(3)", "population": 6, "episodes": 2}
RUNS = {
    "supervised": ("supervised", TASK | {"estimator": "UORO()", "window": 2}),
    "segmentwise-artbp": ("segmentwise-artbp", TASK | {"estimator": "ARTBP(3)", "longest": 8}),
    "memup-prediction-error": ("memup", MEMUP | {"detector": "PredictionErrorDetector()"}),
    "memup-quantile-spread": ("memup", MEMUP | {"detector": "QuantileSpreadDetector()"}),
    "policy-gradient": ("policy-gradient", ENV | {"estimator": "RTRL()"}),
    "ppo": ("ppo", ENV | {"epochs": 2, "minibatches": 2, "gamma": "LinearSchedule(0.5, 0.9, 5)"}),
    "trpo": ("trpo", ENV | {"value_updates": 1}),
    "optimal-baseline": ("optimal-baseline", ENV),
    "memup-agent": (
        "memup-agent",
        ENV
        | {"cell": "Chain(SkipConcat(GRU(3)), MLP(4))", "shared_memory": True, "agent": "PPO(epochs=1)", "batch_size": 2},
    ),
    "dqn": ("dqn", ENV | REPLAY),
    "dqn-prioritized": (
        "dqn",
        ENV
        | REPLAY
        | {"burn_in": 1, "n_step": 2, "prioritized": True, "quantiles": 3, "dueling": True}
        | {
            "importance_exponent": "LinearSchedule(0.4, 1.0, 5)",
            "exploration": "EpsilonGreedy(LinearSchedule(1.0, 0.1, 5))",
        },
    ),
    "dqn-on-host": ("dqn", ENV | REPLAY | {"buffer_on_host": True, "within_episodes": True, "seeds": 2}),
    "ddpg": (
        "ddpg",
        BOX | CRITIC | {"critics": 2, "policy_period": 2, "smoothing_std": 0.2, "exploration": "OrnsteinUhlenbeck()"},
    ),
    "sac": ("sac", BOX | CRITIC | {"prioritized": True, "burn_in": 1, "n_step": 2, "target_period": 3, "target_rate": 1.0}),
    "memory-actor-critic": (
        "memory-actor-critic",
        BOX | {"first_size": 4, "second_size": 4, "within_episodes": True, "write_exploration": "GaussianNoise(0.1)"},
    ),
    "dau": (
        "dau",
        BOX | {"env": "Pusher(seconds=0.5)", "burn_in": 1},
    ),
    "cma-es": ("cma-es", EVOLUTION | {"seeds": 2}),
    "openai-es": ("openai-es", EVOLUTION | {"ranks": True}),
    "tabular-q": ("tabular-q", {"env": "Ladder(3)", "num_envs": 2, "window": 7}),
    "ppo-curriculum": ("ppo", ENV | {"env": CURRICULUM, "window": 8}),
}


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def config(name, updates):
    algorithm, words = RUNS[name]
    optimizer = {"optimizer": "adam(1e-2)"} if "optimizer" in arguments(algorithm) else {}
    made = configure(algorithm, **words, **optimizer, seed=5, log_every=2)
    return made.replace(total_steps=updates * made.build().steps_per_update)


def test_the_table_has_every_algorithm():
    assert {algorithm for algorithm, _ in RUNS.values()} == set(ALGORITHMS)


FAST = ("supervised", "ppo")


@pytest.mark.parametrize("name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in RUNS])
def test_a_run_resumes_bit_for_bit(name, tmp_path):
    whole = run(tmp_path / "whole", config(name, 7))
    for updates in (1, 4, 7) if name in FAST else (1, 7):  # half a row of the log, and whole rows
        broken = run(tmp_path / "broken", config(name, updates))
    assert whole.facts["update"] == broken.facts["update"] == 7
    assert identical(whole.state, broken.state)
    assert rows(tmp_path / "whole") == rows(tmp_path / "broken")


@pytest.mark.slow
def test_a_curriculum_keeps_its_level(tmp_path):
    """Each episode is a success, so that the level rises before and after the break."""
    before = run(tmp_path, config("ppo-curriculum", 2))
    after = run(tmp_path, config("ppo-curriculum", 4))
    levels = [saved.state.state.envs.copies.state.level for saved in (before, after)]
    assert (np.asarray(levels[0]) > 5).all()
    assert (np.asarray(levels[1]) >= np.asarray(levels[0])).all()


@pytest.mark.slow
def test_a_hosted_environment_resumes_with_fresh_episodes(tmp_path):
    """The state of a hosted environment is outside of JAX and in no checkpoint.

    What resumes bit for bit: the network, the optimizer, the keys, the counters, and the rows logged before. What does not:
    the episodes in progress, which are truncated; the copies are made anew from the seeds of their indices. The run is
    therefore valid, but differs from the uninterrupted one.
    """
    made = configure("ppo", env='Gymnasium("CartPole-v1")', cell="GRU(3)", num_envs=2, window=4, minibatches=2, log_every=1)
    first = run(tmp_path, made.replace(total_steps=3 * 8))
    program = made.replace(total_steps=1, log_every=1).program()  # other copies of the environment, as in another process
    state, _, finite = program.advance(jax.tree.map(jnp.copy, first.state), 0, 3)
    assert finite.all()
    for name, leaf in leaves(first.state).items():
        np.testing.assert_array_equal(leaf, leaves(state)[name], err_msg=name)
    logged = rows(tmp_path)
    second = run(tmp_path, made.replace(total_steps=6 * 8))
    assert second.facts["update"] == 6
    assert rows(tmp_path)[:3] == logged
    assert [row["update"] for row in rows(tmp_path)] == list(range(1, 7))
    after, _, finite = program.advance(state, 1, 3)
    assert finite.all()
    assert not identical(after, first.state)
