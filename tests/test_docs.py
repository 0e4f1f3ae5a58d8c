"""The code on the pages and in the help of the commands runs as it stands."""

import functools
import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import pytest
import tables
import task_table
import test_laws_exact
import test_laws_unbiased
import test_tasks
from markdown.extensions.toc import slugify

import farback
from farback import agents, cells, encoders, envs, estimators, memup, strategies, tasks
from farback.cli.cache import cache_directory
from farback.cli.certify import certify_command
from farback.cli.commands import COMMANDS
from farback.cli.completion import Completion
from farback.cli.entry import parse
from farback.cli.examples import EXAMPLES
from farback.cli.train import train_command
from farback.runs.algorithms import ALGORITHMS
from farback.runs.checkpoint import Checkpoints, read
from farback.runs.loop import train
from farback.runs.optimizers import OptimizerExpression
from farback.runs.program import Program

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ALL_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
NAMESPACES = (farback, agents, cells, encoders, envs, estimators, memup, strategies, tasks)
DESCRIBED = {name: command for name, command in COMMANDS.items() if name not in ("train", "certify")}
"""The commands whose docstrings have two examples."""


@pytest.fixture
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def name_of(page):
    return str(page.relative_to(ROOT))


def blocks(page):
    """The code blocks of a page that are run, each with its language."""
    return re.findall(r"^```(python|bash)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def shortened(script):
    """The script with a tenth of the steps where there are 10,000 or more, with 16 draws, and with 0.01 minutes a size."""

    def steps(found):
        count = int(found[2])
        return f"--{found[1]} {count // 10 if count >= 10_000 else count}"

    script = re.sub(r"--(steps|total-steps) ([\d_]+)", steps, script)
    script = re.sub("^farback diagnose", "farback diagnose --draws 16", script, flags=re.MULTILINE)
    return re.sub(r"--minutes [\d.]+", "--minutes 0.01", script)


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Runs a script, shortened, in an empty directory with `farback` on the path and an empty home.

    Commands of `farback` alone run in this process, which saves the time to start one.
    """
    bin_, home, here = (tmp_path / name for name in ("bin", "home", "here"))
    for directory in (bin_, home, here, home / ".zfunc"):
        directory.mkdir()
    (bin_ / "farback").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m farback "$@"\n')
    (bin_ / "farback").chmod(0o755)
    variables = {"PATH": f"{bin_}:{os.environ['PATH']}", "HOME": str(home)}
    variables["JAX_COMPILATION_CACHE_DIR"] = str(cache_directory())
    monkeypatch.chdir(here)

    def run(script):
        lines = shortened(script.replace("\\\n", "")).splitlines()
        if all(re.fullmatch("farback [^|>&$;#*(]+", re.sub(r""" "[^"]*"| '[^']*'""", " ", line)) for line in lines):
            with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
                for line in lines:
                    parse(shlex.split(line)[1:]).run()
            return
        strict = "\n".join(["set -euo pipefail", *lines])
        done = subprocess.run(
            ["bash", "-c", strict], env=os.environ | variables, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{script}\n{done.stderr}"

    return run


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name_of)
def test_the_code_of_a_page_runs(page, shell):
    """The blocks run in order in one directory and one Python namespace."""
    defined = {"__name__": "__main__"}
    for language, code in blocks(page):
        if language == "bash":
            shell(code)
        else:
            with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
                exec(compile(code, name_of(page), "exec"), defined)


def test_control_code_that_fails_is_found(shell):
    with pytest.raises(AssertionError, match="Did you mean 'GRU'"):
        shell("farback diagnose --cell 'GRV(3)'\ntrue")


def examples(command):
    """The example command lines of a help text."""
    _, _, after = (inspect.getdoc(command) or "").partition("that work")
    return [line.strip() for line in after.splitlines()[1:] if line.strip()]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_training_examples_work(algorithm, shell):
    lines = examples(train_command(algorithm))
    assert len(lines) == 2
    if any("Pretrained('runs/memory')" in line for line in lines):
        shell(f"farback train memup {EXAMPLES['memup'][0]}")
    for line in lines:
        shell(line)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["supervised", "memup", "ddpg"])
def test_the_certification_examples_work(algorithm, shell):
    (line,) = examples(certify_command(algorithm))
    shell(line)


@pytest.mark.slow
def test_the_examples_of_the_other_commands_work(shell):
    shell(f"farback train supervised {EXAMPLES['supervised'][0]}")
    for name, command in (DESCRIBED | {"completion": Completion}).items():
        lines = examples(command)
        assert len(lines) == 2, name
        for line in lines:
            shell(line)


def extension(name):
    """The definitions of the first code block of a page on extending, and the test line that it recommends, marked `py`."""
    page = ROOT / "docs" / "extending" / f"{name}.md"
    defined = {"__name__": name}
    exec(blocks(page)[0][1], defined)
    (line,) = re.findall(r"^```py\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return defined, line


class TestExtensions:
    """The classes on the pages on extending pass the laws, by the lines that the pages recommend."""

    def test_cell(self, key):
        defined, line = extension("cell")
        added = {}
        exec(line, vars(tables) | defined | {"CELLS": added})
        (make,) = added.values()
        model, window = tables.model_of(make, key), tables.random_window(key)
        assert test_laws_exact.compare(estimators.RTRL(), model, tables.pieces(window, 3), window) < 1e-10
        assert test_laws_unbiased.z_of(estimators.UORO(), model, [window], window) < test_laws_unbiased.BOUND

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
    def test_a_run_of_them_resumes_exactly(self, tmp_path):
        own = {name: value for page in ("cell", "task", "estimator") for name, value in extension(page)[0].items()}
        network = farback.ReadoutNetwork(functools.partial(own["JANET"], size=4))
        optimizer = OptimizerExpression("adam(1e-2)")
        supervised = farback.Supervised(own["Echo"](2), network, own["Fading"](0.5), optimizer, batch_size=2, window=3)
        program = Program(supervised, seeds=range(2), log_every=4)
        for name, stops in (("whole", [30]), ("broken", [7, 30])):
            for updates in stops:
                train(program, tmp_path / name, updates)
        ends = [Checkpoints(tmp_path / name / "checkpoints").paths()[0] for name in ("whole", "broken")]
        whole, broken = (jax.tree.leaves(read(end, program.like)) for end in ends)
        assert len(whole) > 10
        assert all((one == other).all() for one, other in zip(whole, broken, strict=True))


def anchors(page):
    """The anchors of a page's headings that are the same on the site and on GitHub."""
    text = re.sub("^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = [heading.replace("`", "") for heading in re.findall("^#+ (.*)$", text, re.MULTILINE)]
    return {slugify(heading, "-") for heading in headings} & {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        if not target.startswith("http"):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(there), f"{page.name} links to {target}#{anchor}"


def test_every_public_class_is_on_the_api_page_once():
    page = (ROOT / "docs" / "api.md").read_text()
    modules = re.findall(r"^::: (\S+)$", page, re.MULTILINE)
    assert len(modules) == len(set(modules))
    for module in modules:
        importlib.import_module(module)
    for space in NAMESPACES:
        for name, value in vars(space).items():
            if inspect.isclass(value) and value.__module__.startswith("farback"):
                assert value.__module__ in modules, f"{name} of {value.__module__} is missing"


@pytest.mark.slow
def test_the_example_shows_what_it_says(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "examples" / "influence.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    verdicts = {line.split()[0]: line for line in done.stdout.splitlines()}
    for name in ("UORO()", "RTRL()"):
        assert verdicts[name].endswith("  converged")
    for name in ("TBPTT(10)", "TBPTT(100)"):
        assert not verdicts[name].endswith("  converged")
    assert (tmp_path / "influence.png").exists()
