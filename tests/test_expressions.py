"""Expressions are parsed, never evaluated; an unknown name is refused with the nearest valid one."""

import ast
import subprocess
import sys

import jax
import numpy as np
import pytest
from gymnasium.spaces import Box

from farback import AbstractCell, AbstractEnv, AbstractEstimator, AbstractTask, InputError
from farback.cell import output_size
from farback.estimators import ARTBP, BPTT, RTRL, TBPTT, UORO
from farback.runs.expressions import express, parse
from farback.runs.kinds import KINDS, CellExpression, EncoderExpression, build, build_all, names
from farback.tasks import AnBn, Warp


@pytest.mark.parametrize(
    "text",
    ["GRU(64)", "Chain(GRU(12), LSTM(8, gates=Chrono(300.0)))", "UORO(rank=2, epsilon=1e-05)", "F('a', -1, None)"],
)
def test_an_expression_prints_as_it_was_parsed(text):
    assert str(parse(text)) == text


def test_expressions_build_objects_with_supplied_arguments(key):
    cell = CellExpression("Chain(GRU(5), LSTM(size=7, gates=Chrono(30)))")(3, key=key)
    assert output_size(cell, 3) == 7
    assert cell.layers[1].input_weight.shape == (5, 4, 7)
    assert build("AnBn(1, 8)", AbstractTask) == AnBn(1, 8)
    assert build("AnBn(high=8, low=1)", AbstractTask) == AnBn(1, 8)
    assert build("Warp(1, 50, pad=True, length=None)", AbstractTask) == Warp(1, 50, pad=True, length=None)
    assert build_all("BPTT, UORO(rank=2)", AbstractEstimator) == [BPTT(), UORO(2)]


def test_the_same_key_builds_the_same_cell(key):
    one, other = (CellExpression("GRU(5)")(3, key=key) for _ in range(2))
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "AnBn(1, 32)",
        "Recall(5)",
        "Brackets(1, 5, 10)",
        "Copy(500)",
        "VariableCopy(1000, symbols=4)",
        "SignalledCopy(100)",
        "ScatteredCopy(100, length=5)",
        "Adding(750)",
        "Warp(1, 50, pad=True, length=None)",
        "NoisyRecall(100, noise=0.5)",
    ],
)
def test_a_task_is_an_expression(text):
    assert express(build(text, AbstractTask)) == text


def test_several_numbers_are_one_argument(key):
    text = "Conv(channels=(4, 8), stride=(2, 1), kernel=(3,))"
    assert dict(parse(text).named) == {"channels": (4, 8), "stride": (2, 1), "kernel": (3,)}
    assert str(parse(text)) == text
    space = Box(0, 255, (12, 10, 3), np.uint8)
    encoder = EncoderExpression("Conv(channels=(4, 8), kernel=3, stride=(2, 1))")(space, key=key)
    assert [convolution.stride for convolution in encoder.convolutions] == [(2, 2), (1, 1)]


@pytest.mark.parametrize("made", [ARTBP(8), UORO(memory=2), TBPTT(3), BPTT(), RTRL()])
def test_express_is_the_inverse_of_build(made):
    assert build(express(made), AbstractEstimator) == made


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("UOR()", AbstractEstimator, "Did you mean 'UORO'"),
        ("uoro()", AbstractEstimator, "Did you mean 'UORO'"),
        ("UORO(ranks=2)", AbstractEstimator, "Did you mean 'rank'"),
        ("UORO(rank='a')", AbstractEstimator, "rank = 'a': give a whole number"),
        ("UORO(rank=True)", AbstractEstimator, "rank = True: give a whole number"),
        ("UORO(1, 2, 3, True, False, 5)", AbstractEstimator, "too many arguments"),
        ("TBPTT()", AbstractEstimator, "missing a required argument, 'length'"),
        ("GRU(3)", AbstractEstimator, "is not of the kind Estimator"),
        ("AnBn(1, 8)", AbstractEstimator, "is not of the kind Estimator"),
        ("GRU(3)", AbstractTask, "is not of the kind Task: give one of Adding, AnBn, "),
        ("UORO(rank=1, rank=2)", AbstractEstimator, "gives 'rank' twice"),
        ("UORO(1, rank=2)", AbstractEstimator, "gives 'rank' twice"),
        ("TBPTT(2, length=3)", AbstractEstimator, "gives 'length' twice"),
        ("UORO(rank=2.5)", AbstractEstimator, "rank = 2.5: give a whole number"),
        ("TBPTT((1, 2))", AbstractEstimator, "length = (1, 2): give a whole number"),
        ("TBPTT((1, GRU(3)))", AbstractEstimator, "cannot be read"),
        ("TBPTT((1, True))", AbstractEstimator, "cannot be read"),
        ("TBPTT(0)", AbstractEstimator, "give length >= 1"),
        ("UORO(0)", AbstractEstimator, "give rank >= 1"),
        ("UORO(memory=0)", AbstractEstimator, "give memory >= 1"),
        ("UORO(epsilon=0)", AbstractEstimator, "epsilon > 0"),
        ("ARTBP(0.5)", AbstractEstimator, "give mean_length >= 1"),
        ("ARTBP(8, alpha=2)", AbstractEstimator, "needs alpha > 2"),
        ("SnAp(2)", AbstractEstimator, "give SnAp(1) or RTRL()"),
        ("AnBn(3, 2)", AbstractTask, "1 <= low <= high"),
        ("Recall(0)", AbstractTask, "delay >= 1"),
        ("Recall(3, symbols=1)", AbstractTask, "symbols >= 2"),
        ("Brackets(0, 5, 10)", AbstractTask, "s >= 1 and k >= 0"),
        ("Brackets(1, -1, 10)", AbstractTask, "s >= 1 and k >= 0"),
        ("Brackets(1, 5, 1)", AbstractTask, "a >= 2"),
        ("Copy(0)", AbstractTask, "delay >= 1"),
        ("VariableCopy(5, symbols=1)", AbstractTask, "symbols >= 2"),
        ("ScatteredCopy(5, length=0)", AbstractTask, "length >= 1"),
        ("Adding(1)", AbstractTask, "length >= 2"),
        ("Warp(3, 2)", AbstractTask, "1 <= low <= high"),
        ("Warp(1, 2, symbols=3)", AbstractTask, "symbols >= 4"),
        ("Warp(1, 2, length=1)", AbstractTask, "length >= 2, or None"),
        ("Warp(1, 2, pad=1)", AbstractTask, "pad = 1: give True or False"),
        ("NoisyRecall(5, cues=0)", AbstractTask, "cues >= 1"),
        ("NoisyRecall(4)", AbstractTask, "length > cues"),
        ("NoisyRecall(5, noise=0)", AbstractTask, "0 < noise"),
        ("GRU(", AbstractCell, "not a constructor expression"),
        ("", AbstractCell, "not a constructor expression"),
        ("__import__('os').system('true')", AbstractCell, "cannot be read"),
        ("GRU(2 ** 99)", AbstractCell, "cannot be read"),
        ("GRU(*[1])", AbstractCell, "cannot be read"),
        ("(" * 5000, AbstractCell, "not a constructor expression"),
        ("GRU(3), GRU(4)", AbstractCell, "2 expressions"),
    ],
)
def test_a_wrong_expression_is_refused_with_the_reason(text, kind, message):
    with pytest.raises(InputError) as caught:
        build(text, kind)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LSTM(5, gates=Chrono(1.5))", "give t_max >= 2"),
        ("LSTM(5, gates=Chrono(9, t_min=1))", "between 2 and t_max"),
        ("GRU(0)", "size >= 1"),
        ("Parallel(GRU(3), GRU(4))", "needs one vector"),
        ("Chain(3)", "is not a cell"),
        ("LSTM(5, gates=GRU(3))", "is not of the kind Gates: give one of Chrono, ChronoUnknown, Forget"),
        ("Chain(GRU(4), layers=3)", "give layers by position"),
        ("GRU(4, input_size=3)", "no argument 'input_size'"),
        ("GRU(4, key=3)", "no argument 'key'"),
        ("MinGRU(0)", "size >= 1"),
        ("LRU(0)", "size >= 1"),
        ("LRU(4, output_size=0)", "output_size >= 1"),
        ("SRNN(0)", "size >= 1"),
        ("ELSTM(0)", "size >= 1"),
        ("GTrXL(0)", "size >= 1"),
        ("GTrXL(8, width='a')", "width = 'a': give a whole number or None"),
        ("Stateless(3)", "There is no Cell 'Stateless'"),
        ("UORO()", "is not of the kind Cell"),
    ],
)
def test_a_wrong_cell_is_refused_with_the_reason(text, message, key):
    with pytest.raises(InputError) as caught:
        output_size(CellExpression(text)(3, key=key), 3)
    assert message in str(caught.value)


def test_a_name_is_looked_up_by_kind():
    task, env = build("NoisyRecall(9)", AbstractTask), build("NoisyRecall(9)", AbstractEnv)
    assert isinstance(task, AbstractTask)
    assert isinstance(env, AbstractEnv)


def test_kinds_do_not_depend_on_the_order_of_imports():
    """Every kind has names in a process that imports nothing else first."""
    code = "from farback.runs.kinds import KINDS, names; print({k.__name__: sorted(names(k)) for k in KINDS})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == {kind.__name__: sorted(names(kind)) for kind in KINDS}
    assert all(names(kind) for kind in KINDS)
