"""`farback.run` and `LoadedRun`: training and acting from Python objects."""

import functools

import gymnasium
import jax
import numpy as np
import optax
import pytest
from small_runs import config as small
from small_runs import identical, rows, run

import farback
from farback import PPO, ActorCriticNetwork, InputError, ReadoutNetwork, Supervised, configure
from farback.cells import GRU
from farback.envs import TMaze
from farback.estimators import BPTT, RTRL
from farback.runs.checkpoint import Checkpoints, facts
from farback.tasks import Recall


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def supervised(**changes):
    usual = {"network": ReadoutNetwork(functools.partial(GRU, size=4)), "optimizer": optax.adam(1e-2)}
    usual |= {"estimator": RTRL(), "batch_size": 2, "window": 2}
    return Supervised(Recall(3), **(usual | changes))


def test_a_run_of_an_object_trains_resumes_and_opens(tmp_path):
    """The updates per row of the log are those that the run began with."""
    whole = farback.run(supervised(), tmp_path / "whole", steps=4 * 1200, seeds=2, log_every=1)
    assert [row["update"] for row in rows(tmp_path / "whole")] == sorted([*range(1, 1201)] * 2)
    farback.run(supervised(), tmp_path / "broken", steps=4 * 300, seeds=2)
    broken = farback.run(supervised(), tmp_path / "broken", steps=4 * 1200, seeds=2)
    assert broken.facts["update"] == 1200
    assert identical(whole.state.state, broken.state.state)
    assert rows(tmp_path / "whole") == rows(tmp_path / "broken")
    assert not (tmp_path / "broken" / "config.json").exists()
    assert set(broken.evaluate(steps=64)) == {0, 1}
    with pytest.raises(InputError, match="episodes = 5: Supervised is scored over steps; give steps"):
        broken.evaluate(episodes=5)
    with pytest.raises(InputError, match="steps = 0: give at least 1"):
        broken.evaluate(steps=0)


@pytest.mark.slow
def test_the_rows_of_a_long_run_are_about_500(tmp_path):
    farback.run(supervised(), tmp_path, steps=4 * 2000)
    assert [row["update"] for row in rows(tmp_path)] == list(range(4, 2001, 4))
    (newest, *_) = Checkpoints(tmp_path / "checkpoints").paths()
    assert facts(newest)["record"]["log_every"] == 4
    farback.run(supervised(), tmp_path, steps=4 * 4000)
    assert [row["update"] for row in rows(tmp_path)] == list(range(4, 4001, 4))


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        ({"estimator": BPTT()}, {}, r"estimator = RTRL\(\), not BPTT\(\)"),
        ({"batch_size": 3}, {}, "batch_size = 2, not 3"),
        ({}, {"seed": 1}, "seeds = "),
        ({}, {"seeds": 2}, "seeds = "),
        ({}, {"log_every": 7}, "log_every = 1, not 7"),
    ],
)
def test_another_object_in_the_directory_is_refused(changes, more, message, tmp_path):
    farback.run(supervised(), tmp_path, steps=8)
    with pytest.raises(InputError, match=message):
        farback.run(supervised(**changes), tmp_path, **({"steps": 16} | more))


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("Dear Sir")
    with pytest.raises(InputError, match="not a run directory, and not empty"):
        farback.run(supervised(), tmp_path, steps=8)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(InputError, match="give steps >= 1"):
        farback.run(supervised(), tmp_path / "new", steps=0)
    run(tmp_path / "configured", small(), 2)
    with pytest.raises(InputError, match="algorithm = supervised, not Supervised"):
        farback.run(supervised(), tmp_path / "configured", steps=8)


def test_an_agent_of_an_object_has_a_policy(tmp_path):
    network = ActorCriticNetwork(functools.partial(GRU, size=4))
    agent = PPO(TMaze(3), network, optimizer=optax.adam(1e-3), num_envs=4, window=4, minibatches=2)
    loaded = farback.run(agent, tmp_path, steps=32, seed=3, seeds=2)
    assert {type(loaded.policy(seed).policy).__name__ for seed in (None, 3, 4)} == {"ActorCriticPolicy"}
    with pytest.raises(InputError, match="seed = 0: the run has the seeds 3, 4; give one of them"):
        loaded.policy(0)


def test_a_supervised_run_has_no_policy(tmp_path):
    with pytest.raises(InputError, match="Supervised learns no policy"):
        run(tmp_path, small(), 1).policy()


@pytest.mark.slow
def test_a_policy_acts_in_a_loop_as_in_evaluation(tmp_path):
    """On NumPy observations of the environment's Gymnasium version, with the same returns as `evaluate`."""
    with jax.enable_x64(False):
        made = configure("ppo", env="TMaze(3)", cell="GRU(16)", optimizer="adam(1e-2)", num_envs=64, window=4, log_every=50)
        loaded = run(tmp_path, made.replace(total_steps=256 * 60))
        expected = np.asarray(loaded.evaluate(episodes=2000)[0]["charts/episodic_return"].total)
        policy = loaded.policy(seed=0)
        env = gymnasium.make("farback/TMaze-v0", corridor=3)
        returns = []
        for episode in range(200):
            observation, _ = env.reset(seed=episode)
            state, first, total, done = policy.initial(), True, 0.0, False
            for time in range(10):
                assert isinstance(observation, np.ndarray)
                key = jax.random.fold_in(jax.random.key(episode), time)
                state, action, extras = policy(state, observation, first, key)
                observation, reward, terminated, truncated, _ = env.step(np.asarray(action))
                total, first, done = total + float(reward), False, terminated or truncated
                assert np.isfinite(extras.log_prob)
                if done:
                    break
            assert done
            returns.append(total)
    error = np.sqrt(expected.var() / len(returns) + expected.var() / len(expected)) + 1e-9
    assert abs(np.mean(returns) - expected.mean()) < 4 * error
    assert expected.mean() > 1.5, "the policy is far from a random one, whose mean is 0.5"


def test_a_policy_in_a_loop_has_the_states_of_a_timeline(tmp_path):
    """The network's memory at each step is that of the compiled program, on the same observations."""
    made = configure("ppo", env="TMaze(3)", cell="GRU(4)", num_envs=4, window=4, minibatches=2, total_steps=32, log_every=1)
    loaded = run(tmp_path, made)
    timeline, _ = loaded.timeline(0, 9)
    policy = loaded.policy(0)
    state = policy.initial()
    for time in range(9):
        observation, first = np.asarray(timeline.observation[time]), bool(timeline.first[time])
        state, _, _ = policy(state, observation, first, jax.random.key(0))
        memory = jax.tree.map(lambda leaf, time=time: leaf[time], timeline.memory)
        for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(memory), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9)
