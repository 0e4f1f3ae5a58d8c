"""What the pages and the help of commands say to type runs as it stands there."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import pytest
import tables
import task_table
import test_laws_exact
import test_laws_unbiased
import test_tasks

import engram
from engram.cli.cache import cache_directory
from engram.cli.entry import COMMANDS
from engram.runs.checkpoint import Checkpoints, read
from engram.runs.loop import train
from engram.runs.optimiser import build_optimiser
from engram.runs.program import Program
from engram.runs.trial import StreamTrial

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ALL_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
ORDER = ("train", "eval", "watch", "report", "diagnose", "reproduce", "certify", "list", "doctor", "completion")
"""Of commands whose examples go on from each other's."""


@pytest.fixture
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def name_of(page):
    return str(page.relative_to(ROOT))


def blocks(page):
    """The code of a page, each piece with its language."""
    return re.findall(r"^```(python|bash)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(tmp_path):
    """Runs a script in an empty directory, as a user would who has `engram` and a home of their own."""
    bin_, home, here = (tmp_path / name for name in ("bin", "home", "here"))
    for directory in (bin_, home, here, home / ".zfunc"):
        directory.mkdir()
    (bin_ / "engram").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m engram "$@"\n')
    (bin_ / "engram").chmod(0o755)
    variables = {"PATH": f"{bin_}:{os.environ['PATH']}", "HOME": str(home)}
    variables["JAX_COMPILATION_CACHE_DIR"] = str(cache_directory())

    def run(script):
        strict = f"set -euo pipefail\n{script}"
        done = subprocess.run(
            ["bash", "-c", strict], cwd=here, env=os.environ | variables, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{script}\n{done.stderr}"
        return done

    run.here = here
    return run


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name_of)
def test_the_code_of_a_page_runs(page, shell, monkeypatch):
    """Piece after piece in one directory; what Python has defined stays defined."""
    monkeypatch.chdir(shell.here)
    defined = {"__name__": "__main__"}
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        for language, code in blocks(page):
            if language == "bash":
                shell(code)
            else:
                exec(compile(code, name_of(page), "exec"), defined)


def test_control_code_that_fails_is_found(shell):
    with pytest.raises(AssertionError, match="Did you mean 'GRU'"):
        shell("engram diagnose --cell 'GRV(3)'\ntrue")


def examples(command):
    """The examples of a command's help."""
    _, _, after = inspect.getdoc(COMMANDS[command]).partition("Two examples that work")
    return [line.strip() for line in after.splitlines()[1:] if line.strip()]


def test_the_examples_of_every_command_work(shell):
    assert set(ORDER) == set(COMMANDS)
    for command in ORDER:
        assert len(examples(command)) == 2, command
        for example in examples(command):
            shell(example)


def extension(name):
    """What a page on extending defines in its first piece of code, and the test line that it recommends, marked `py`."""
    page = ROOT / "docs" / "extending" / f"{name}.md"
    defined = {"__name__": name}
    exec(blocks(page)[0][1], defined)
    (line,) = re.findall(r"^```py\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return defined, line


class TestExtensions:
    """The classes of the pages on extending obey the laws of those in engram, by the lines that the pages recommend."""

    def test_cell(self, key):
        defined, line = extension("cell")
        added = {}
        exec(line, vars(tables) | defined | {"CELLS": added})
        (make,) = added.values()
        model, window = tables.model_of(make, key), tables.random_window(key)
        assert test_laws_exact.compare(engram.RTRL(), model, tables.pieces(window, 3), window) < 1e-10
        assert test_laws_unbiased.z_of(engram.UORO(), model, [window], window) < test_laws_unbiased.BOUND

    def test_task(self):
        defined, line = extension("task")
        added = []
        exec(line, vars(task_table) | defined | {"ROWS": added})
        (row,) = added
        laws = [
            law
            for name, law in vars(test_tasks).items()
            if name.startswith("test_") and [*inspect.signature(law).parameters] == ["row"]
        ]
        assert len(laws) > 5
        for law in laws:
            law(row)

    def test_estimator(self, key):
        defined, line = extension("estimator")
        laws = vars(test_laws_exact) | defined
        exec(line, laws)
        ((name, law),) = [(name, law) for name, law in laws.items() if name.startswith("test_fading")]
        assert name not in vars(test_laws_exact)
        law("GRU", key)

    @pytest.mark.usefixtures("_optax_promotes")
    def test_a_run_of_them_goes_on_exactly(self, tmp_path):
        own = {name: value for page in ("cell", "task", "estimator") for name, value in extension(page)[0].items()}
        task = own["Echo"](2)

        def make(key):
            return engram.Chain(own["JANET"](1, 4, key=key), eqx.nn.Linear(4, 2, key=key))

        learner = engram.Learner(task, own["Fading"](0.5), build_optimiser("adam(1e-2)"))
        program = Program(StreamTrial(learner, make, 2, 3), seeds=range(2), log_every=4)
        for name, stops in (("whole", [30]), ("broken", [7, 30])):
            for updates in stops:
                train(program, tmp_path / name, updates)
        ends = [Checkpoints(tmp_path / name / "checkpoints").paths()[0] for name in ("whole", "broken")]
        whole, broken = (jax.tree.leaves(read(end, program.like)) for end in ends)
        assert len(whole) > 10
        assert all((one == other).all() for one, other in zip(whole, broken, strict=True))


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_public_name_is_on_the_api_page():
    page = (ROOT / "docs" / "api.md").read_text().splitlines()
    for name, value in vars(engram).items():
        if inspect.isclass(value):
            assert f"::: {value.__module__}" in page, f"{name} of {value.__module__} is missing"


def test_the_example_shows_what_it_says(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "examples" / "influence.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    verdicts = {line.split()[0]: line for line in done.stdout.splitlines()}
    for name in ("UORO()", "RTRL()"):
        assert "converged" in verdicts[name]
    for name in ("TBPTT(10)", "TBPTT(100)"):
        assert "converged" not in verdicts[name]
    assert (tmp_path / "influence.png").exists()
