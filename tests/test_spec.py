"""Expressions: read, never evaluated; what is wrong is said with the nearest valid name."""

import jax
import pytest

import engram
from engram import AbstractCell, AbstractEstimator, AbstractTask, InputError
from engram.runs.spec import build, build_all, build_cell, express, parse


@pytest.mark.parametrize(
    "text",
    ["GRU(64)", "Chain(GRU(12), LSTM(8, gates=Chrono(300.0)))", "UORO(rank=2, epsilon=1e-05)", "F('a', -1, None)"],
)
def test_an_expression_prints_as_it_was_read(text):
    assert str(parse(text)) == text


def test_expressions_build_objects_with_what_is_supplied(key):
    cell, width = build_cell("Chain(GRU(5), LSTM(size=7, gates=Chrono(30)))", 3, key=key)
    assert width == 7
    assert cell.layers[1].input_weight.shape == (5, 4, 7)
    assert build("AnBn(1, 8)", AbstractTask) == engram.AnBn(1, 8)
    assert build("AnBn(high=8, low=1)", AbstractTask) == engram.AnBn(1, 8)
    assert build("Warp(1, 50, pad=True, length=None)", AbstractTask) == engram.Warp(1, 50, pad=True, length=None)
    assert build_all("BPTT, UORO(rank=2)", AbstractEstimator) == [engram.BPTT(), engram.UORO(2)]


def test_the_same_key_builds_the_same_cell(key):
    one, other = (build_cell("GRU(5)", 3, key=key)[0] for _ in range(2))
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
        "ClassRecall(100, noise=0.5)",
    ],
)
def test_a_task_is_an_expression(text):
    assert express(build(text, AbstractTask)) == text


@pytest.mark.parametrize("made", [engram.ARTBP(8), engram.UORO(memory=2), engram.TBPTT(3), engram.BPTT(), engram.RTRL()])
def test_express_is_the_inverse_of_build(made):
    assert build(express(made), AbstractEstimator) == made


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("UOR()", AbstractEstimator, "Did you mean 'UORO'"),
        ("uoro()", AbstractEstimator, "Did you mean 'UORO'"),
        ("UORO(ranks=2)", AbstractEstimator, "Did you mean 'rank'"),
        ("UORO(rank='a')", AbstractEstimator, "rank wants a whole number"),
        ("UORO(rank=True)", AbstractEstimator, "rank wants a whole number"),
        ("UORO(1, 2, 3, True, 5)", AbstractEstimator, "too many arguments"),
        ("TBPTT()", AbstractEstimator, "missing a required argument: 'length'"),
        ("GRU(3)", AbstractEstimator, "is no estimator"),
        ("AnBn(1, 8)", AbstractEstimator, "is no estimator"),
        ("GRU(3)", AbstractTask, "is no task; there are Adding, AnBn, "),
        ("UORO(rank=1, rank=2)", AbstractEstimator, "gives 'rank' twice"),
        ("UORO(1, rank=2)", AbstractEstimator, "gives 'rank' twice"),
        ("TBPTT(2, length=3)", AbstractEstimator, "gives 'length' twice"),
        ("UORO(rank=2.5)", AbstractEstimator, "rank wants a whole number"),
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
        ("Warp(1, 2, pad=1)", AbstractTask, "pad wants True or False"),
        ("ClassRecall(5, cues=0)", AbstractTask, "cues >= 1"),
        ("ClassRecall(4)", AbstractTask, "length > cues"),
        ("ClassRecall(5, noise=0)", AbstractTask, "0 < noise"),
        ("GRU(", AbstractCell, "no constructor expression"),
        ("", AbstractCell, "no constructor expression"),
        ("__import__('os').system('true')", AbstractCell, "cannot be read"),
        ("GRU(2 ** 99)", AbstractCell, "cannot be read"),
        ("GRU(*[1])", AbstractCell, "cannot be read"),
        ("(" * 5000, AbstractCell, "no constructor expression"),
        ("GRU(3), GRU(4)", AbstractCell, "2 expressions"),
    ],
)
def test_what_is_wrong_is_said(text, kind, message):
    with pytest.raises(InputError) as caught:
        build(text, kind)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LSTM(5, gates=Chrono(1.5))", "give t_max >= 2"),
        ("LSTM(5, gates=Chrono(9, t_min=1))", "between 2 and t_max"),
        ("GRU(0)", "size >= 1"),
        ("Parallel(GRU(3), GRU(4))", "one vector is needed"),
        ("Chain(3)", "is no cell"),
        ("LSTM(5, gates=GRU(3))", "gates wants one of Chrono, ChronoUnknown, Forget"),
        ("Chain(GRU(4), layers=3)", "takes layers alone"),
        ("GRU(4, input_size=3)", "no argument 'input_size'"),
        ("GRU(4, key=3)", "no argument 'key'"),
        ("MinGRU(0)", "size >= 1"),
        ("LRU(0)", "size >= 1"),
        ("LRU(4, output_size=0)", "output_size >= 1"),
        ("SRNN(0)", "size >= 1"),
        ("ELSTM(0)", "size >= 1"),
        ("GTrXL(0)", "size >= 1"),
        ("GTrXL(8, width='a')", "width wants a whole number or None"),
        ("Stateless(3)", "There is no 'Stateless'"),
        ("UORO()", "is no cell"),
    ],
)
def test_what_is_wrong_with_a_cell_is_said(text, message, key):
    with pytest.raises(InputError) as caught:
        build_cell(text, 3, key=key)
    assert message in str(caught.value)
