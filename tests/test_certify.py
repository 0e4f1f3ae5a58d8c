"""How long a memory can be learnt: sizes are doubled until one is not, and mastery goes from no memory to the optimum."""

import dataclasses
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback

import engram
from engram import Config, InputError
from engram.cli.certify import Certify
from engram.papers.longest import WAYS
from engram.papers.longest import _config as way_config
from engram.runs import certify as certified
from engram.runs.certify import Standing, certify, standing


@pytest.fixture(autouse=True)
def _as_it_is_run():
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


def config(**fields):
    usual = {"task": None, "cell": "GRU(4)", "estimator": "BPTT()", "optimiser": "adam(1e-2)", "batch": 4, "length": 4}
    return Config(**(usual | {"steps": 1, "seed": 0, "seeds": 2} | fields))


def test_a_size_is_doubled_until_it_is_not_solved(monkeypatch):
    sizes = []

    def program(size):
        sizes.append(size)
        return config(task=f"Recall({size})").program()

    monkeypatch.setattr(
        certified, "standing", lambda trial, model, key, size: Standing(jnp.float32(trial.learner.task.delay < 4), 0.0, 1.0)
    )
    heard = []
    found = list(certify(program, 2, 1e-3, heard=heard.append))
    assert sizes == [2, 4]
    assert [attempt.solved for attempt in found] == [True, False]
    assert [attempt.mastery for attempt in found] == [(1.0, 1.0), (0.0, 0.0)]
    assert heard == found
    assert all(attempt.updates == 1 for attempt in found)


@pytest.mark.parametrize(("look", "updates"), [(0.1, [1, 4, 7, 10, 13]), (1.5, [1, 13, 25, 30]), (20.0, [1, 30])])
def test_looks_take_a_fifth_of_the_time_at_most(monkeypatch, look, updates):
    """By a clock on which an update takes a second, and to score a seed so many."""
    clock = [0.0]

    def take(seconds):
        clock[0] += seconds
        return np.float32(0)

    def scored(trial, model, key, size):
        return Standing(io_callback(lambda: take(look), jax.ShapeDtypeStruct((), "float32")), 0.0, 1.0)

    monkeypatch.setattr(certified, "standing", scored)
    monkeypatch.setattr(certified, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    program, heard = config(task="Recall(4)").program(), []
    advance = program.advance
    monkeypatch.setattr(program, "advance", lambda running, step, at: (take(step), advance(running, 1, at))[1])
    list(certify(lambda size: program, 4, updates[-1], heard=heard.append))
    assert [attempt.updates for attempt in heard] == updates


def test_mastery_is_nothing_without_memory_and_one_at_the_optimum(key):
    trial = config(task="SignalledCopy(3, symbols=4, length=2)").trial()
    model = trial.make(key)
    blind = eqx.tree_at(lambda model: model.layers[-1].layer.weight, model, replace_fn=jnp.zeros_like)
    assert standing(trial, blind, key, 3).mastery < 0

    class Knows(engram.AbstractCell):
        """Counts the steps, and remembers the first two symbols."""

        def initial(self):
            return jnp.zeros(2, int), jnp.zeros((), int)

        def __call__(self, state, x):
            data, time = state
            data = jnp.where(jnp.arange(2) == time, jnp.argmax(x), data)
            answer = jnp.where(time >= 5, data[(time - 5) % 2], 4)
            return (data, (time + 1) % 7), 50 * jax.nn.one_hot(answer, 5)

    assert jnp.isclose(standing(trial, Knows(), key, 3).mastery, 1, atol=1e-3)


def test_mastery_of_who_tells_what_comes_is_the_share_that_is_told(key):
    trial = config(episodes="RandomPlay(TMaze(4))", objective="MemUP()", length=1).trial()
    model = trial.make(key)
    silent = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_inexact_array(leaf) else leaf, model)
    assert -0.1 < standing(trial, silent, key, 4).mastery <= 0


def test_mastery_of_an_agent_is_that_of_its_returns(key):
    trial = config(env="TMaze(4)", agent="PPO()").trial()
    found = standing(trial, trial.make(key), key, 4)
    assert found[1:] == (0.5, 4.0)
    assert -0.3 < found.mastery < 0.3


def test_a_stream_is_followed_until_what_is_to_be_remembered_was_asked(key):
    trial = config(task="Recall(1000)", batch=2, length=1).trial()
    model = trial.make(key)
    loud = eqx.tree_at(lambda model: model.layers[-1].layer.bias, model, replace_fn=lambda bias: bias.at[0].add(9))
    assert standing(trial, loud, key, 1000).mastery < -1


def test_where_there_is_nothing_to_remember_nothing_is_certified(monkeypatch):
    monkeypatch.setattr(certified, "standing", lambda trial, model, key, size: Standing(jnp.float32(0.3), 0.5, 0.5))
    with pytest.raises(InputError, match="nothing to remember"):
        next(certify(lambda size: config(task=f"Recall({size})").program(), 4, 1e-3))


def test_where_there_is_no_scale_nothing_is_certified(key):
    for fields in (
        {"env": "CartPole(dt=0.1)", "agent": "PPO()"},
        {"episodes": "Gaussian(RandomPlay(TMaze(4)))", "objective": "MemUP()", "length": 1},
    ):
        nowhere = config(**fields).trial()
        with pytest.raises(InputError, match="states both"):
            standing(nowhere, nowhere.make(key), key, 4)


@pytest.mark.parametrize("name", WAYS)
def test_each_way_of_the_longest_memory_has_a_scale(name, key):
    trial = way_config(WAYS[name], 8, 2).program().trial.held_out()
    assert isinstance(eqx.filter_eval_shape(standing, trial, trial.make(key), key, 8), Standing)


def test_the_command_says_what_it_found():
    command = Certify(task="SignalledCopy({}, symbols=2, length=1)", cell="GRU(4)", batch=4, size=1, minutes=1e-4, seeds=1)
    found = command.run()
    assert found["longest"] is None
    (attempt,) = found["attempts"]
    assert attempt["size"] == 1
    assert attempt["standings"][0]["memoryless"] > attempt["standings"][0]["optimum"]
    with pytest.raises(InputError, match=r"put \{\} where it belongs"):
        dataclasses.replace(command, task="Recall(2)").run()
    for wrong, what in (("size", "size = 0"), ("minutes", "no time"), ("level", "level = 0")):
        with pytest.raises(InputError, match=what):
            dataclasses.replace(command, **{wrong: 0}).run()
