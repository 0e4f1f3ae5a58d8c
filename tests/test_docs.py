"""The code in the README and in the pages of docs/ runs as it stands there."""

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import engram

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ALL_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*/*.md"))]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        exec(compile("\n".join(blocks(page, "python")), str(page), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")], ids=lambda page: page.name)
def test_commands_run(page, tmp_path):
    for block in blocks(page, "bash"):
        for command in block.replace("\\\n", " ").splitlines():
            name, *arguments = shlex.split(command, comments=True)
            assert name == "engram"
            done = subprocess.run([sys.executable, "-m", "engram.cli", *arguments], cwd=tmp_path, capture_output=True)
            assert done.returncode == 0, f"{command}\n{done.stderr.decode()}"


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
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
