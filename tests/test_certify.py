"""Certification: sizes double until one is not solved; mastery is 0 without memory and 1 at the optimum."""

import dataclasses
import sys
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback

from farback import AbstractCell, InputError, Network, Supervised, configure
from farback.algorithm import Score
from farback.cli.certify import certify_command
from farback.sweeps.certify import certify

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _as_it_is_run():
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


def config(algorithm="supervised", **words):
    usual = {"cell": "GRU(4)", "optimizer": "adam(1e-2)", "window": 4, "total_steps": 1, "seeds": 2}
    usual |= {"num_envs": 4} if algorithm == "ppo" else {"batch_size": 4}
    return configure(algorithm, **(usual | words))


def test_a_size_doubles_until_it_is_not_solved(monkeypatch):
    sizes = []

    def program(size):
        sizes.append(size)
        return config(task=f"Recall({size})").program()

    def score(self, network, key, episodes, length):
        return Score(jnp.float32(self.task.delay < 4), 0.0, 1.0)

    monkeypatch.setattr(Supervised, "score", score)
    progress = []
    found = list(certify(program, 2, 1e-3, progress=progress.append))
    assert sizes == [2, 4]
    assert [result.solved for result in found] == [True, False]
    assert [result.mastery for result in found] == [(1.0, 1.0), (0.0, 0.0)]
    assert progress == found
    assert all(result.updates == 1 for result in found)


@pytest.mark.parametrize(("seconds", "updates"), [(0.1, [1, 4, 7, 10, 13]), (1.5, [1, 13, 25, 30]), (20.0, [1, 30])])
def test_scoring_takes_a_fifth_of_the_time_at_most(monkeypatch, seconds, updates):
    """On the test's clock, an update takes a second, and scoring a seed takes `seconds`."""
    clock = [0.0]

    def take(seconds):
        clock[0] += seconds
        return np.float32(0)

    def score(self, network, key, episodes, length):
        return Score(io_callback(lambda: take(seconds), jax.ShapeDtypeStruct((), "float32")), 0.0, 1.0)

    monkeypatch.setattr(Supervised, "score", score)
    monkeypatch.setattr(sys.modules["farback.sweeps.certify"], "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    program, progress = config(task="Recall(4)").program(), []
    advance = program.advance
    monkeypatch.setattr(program, "advance", lambda state, count, at: (take(count), advance(state, 1, at))[1])
    list(certify(lambda size: program, 4, updates[-1], progress=progress.append))
    assert [result.updates for result in progress] == updates


class Knows(AbstractCell):
    """Counts the steps, and remembers the first two symbols."""

    def initial(self):
        return jnp.zeros(2, int), jnp.zeros((), int)

    def __call__(self, state, x):
        data, time = state
        data = jnp.where(jnp.arange(2) == time, jnp.argmax(x), data)
        answer = jnp.where(time >= 5, data[(time - 5) % 2], 4)
        return (data, (time + 1) % 7), 50 * jax.nn.one_hot(answer, 5)


def test_mastery_is_zero_without_memory_and_one_at_the_optimum(key):
    algorithm = config(task="SignalledCopy(3, symbols=4, length=2)").build()
    network = algorithm.init(key).network
    blind = eqx.tree_at(lambda network: network.head.weight, network, replace_fn=jnp.zeros_like)
    assert algorithm.score(blind, key, 256, 6).mastery < 0
    knows = Network(eqx.nn.Identity(), Knows(), eqx.nn.Identity())
    assert jnp.isclose(algorithm.score(knows, key, 256, 6).mastery, 1, atol=1e-3)


def test_mastery_of_a_predictor_is_the_share_that_it_predicts(key):
    algorithm = config("memup", data="RandomEpisodes(TMaze(4))", window=1).build()
    network = algorithm.init(key).network
    silent = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_inexact_array(leaf) else leaf, network)
    assert -0.1 < algorithm.score(silent, key, 256, 8).mastery <= 0


def test_mastery_of_an_agent_is_that_of_its_returns(key):
    algorithm = config("ppo", env="TMaze(4)").build()
    found = algorithm.score(algorithm.init(key).network, key, 256, 8)
    assert found[1:] == (0.5, 4.0)
    assert -0.3 < found.mastery < 0.3


def test_a_stream_is_scored_beyond_its_delay(key):
    """The answers of a delay of 1,000 steps count."""
    algorithm = config(task="Recall(1000)", batch_size=2, window=1).build()
    network = algorithm.init(key).network
    loud = eqx.tree_at(lambda network: network.head.bias, network, replace_fn=lambda bias: bias.at[0].add(9))
    assert algorithm.score(loud, key, 4, 2000).mastery < -1


def test_a_source_that_needs_no_memory_is_refused(monkeypatch):
    monkeypatch.setattr(Supervised, "score", lambda *arguments: Score(jnp.float32(0.3), 0.5, 0.5))
    with pytest.raises(InputError, match="no memory is needed"):
        next(certify(lambda size: config(task=f"Recall({size})").program(), 4, 1e-3))


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        ("ppo", {"env": "CartPole(dt=0.1)"}),
        ("memup", {"data": "GaussianLikelihood(RandomEpisodes(TMaze(4)))", "window": 1}),
    ],
)
def test_a_source_without_known_levels_is_refused(algorithm, words):
    with pytest.raises(InputError, match="states both"):
        next(certify(lambda size: config(algorithm, **words).program(), 4, 1e-3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 1.0), "size = 0"), ((4, 0.0), "seconds > 0"), ((4, 1.0, 0.0), "threshold = 0"), ((4, 1.0, 2.0), "threshold")],
)
def test_wrong_arguments_of_certify_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        next(certify(lambda size: config(task="Recall(2)").program(), *arguments))


def test_an_episode_window_fits_sequences_and_blocks():
    assert config("ppo", env="TMaze(6)", sequence_length=4).with_episode_window().arguments["window"] == 8
    episodes = {"data": "RandomEpisodes(TMaze(6))", "prediction_interval": 4}
    assert config("memup", **episodes).with_episode_window().arguments["window"] % 4 == 0


def test_the_command_returns_its_results():
    kind = certify_command("supervised")
    command = kind(
        task="SignalledCopy({}, symbols=2, length=1)", cell="GRU(4)", batch_size=4, size=1, minutes=1e-4, seeds=1
    )
    found = command.run()
    assert found["longest"] is None
    (result,) = found["results"]
    assert result["size"] == 1
    assert result["scores"][0]["memoryless"] > result["scores"][0]["optimum"]
    with pytest.raises(InputError, match=r"put \{\} in its place"):
        dataclasses.replace(command, task="Recall(2)").run()
    for wrong, message in (("size", "size = 0"), ("minutes", "seconds > 0"), ("threshold", "threshold = 0")):
        with pytest.raises(InputError, match=message):
            dataclasses.replace(command, **{wrong: 0}).run()
