"""The command line, as a shell sees it."""

import json
import os
import subprocess
import sys

import pytest


def engram(*arguments, cwd=None):
    environment = os.environ | {"JAX_ENABLE_X64": "0"}
    return subprocess.run(
        [sys.executable, "-m", "engram.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=300,
    )


def test_diagnose_as_the_contract_says(tmp_path):
    estimators = "BPTT(), RTRL(), UORO(), ARTBP(8), TBPTT(2)"
    done = engram("diagnose", "--task", "AnBn(1, 8)", "--cell", "GRU(12)", "--estimators", estimators,
                  "--plot", str(tmp_path / "reach.png"), "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(done.stdout.splitlines()) == 1
    names = [one["estimator"] for one in found["estimators"]]
    assert names == ["BPTT()", "RTRL()", "UORO()", "ARTBP(8)", "TBPTT(2)"]
    for one in found["estimators"]:
        assert {"bias", "variance", "cosine", "seconds_per_step", "bytes"} <= one.keys()
    by_name = dict(zip(names, found["estimators"], strict=True))
    assert by_name["RTRL()"]["bias"] < 1e-5 < by_name["TBPTT(2)"]["bias"]
    assert (tmp_path / "reach.png").exists()
    assert "UORO()" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cell", "GRV(3)"), "Did you mean 'GRU'"),
        (("--task", "AnBn(8, 1)"), "1 <= low <= high"),
        (("--estimators", "RFLO()"), "cannot serve GRU"),
        (("--estimators", "TBPTT(5)"), "cannot be cut into pieces of 5"),
        (("--steps", "0"), "give 3 at least"),
        (("--steps", "2"), "give 3 at least"),
        (("--draws", "1"), "draws >= 2"),
        (("--plot", "no/such/folder/picture.png"), "no/such/folder"),
        (("--plot", "picture.doc"), "png"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, tmp_path):
    done = engram("diagnose", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_unknown_flags_are_exit_code_2():
    assert engram("diagnose", "--cels", "GRU(3)").returncode == 2
    assert engram("diagnos").returncode == 2


def test_help_shows_examples():
    done = engram("diagnose", "--help")
    assert done.returncode == 0
    assert done.stdout.count("engram diagnose --") >= 2
