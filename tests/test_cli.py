"""The command line, as a shell sees it."""

import json
import os
import re
import subprocess
import sys

import jax
import pytest
from PIL import Image

from engram import InputError
from engram.cli.bar import track
from engram.cli.entry import COMMANDS, main, parse


def engram(*arguments, cwd=None):
    environment = os.environ | {"JAX_ENABLE_X64": "0"}
    return subprocess.run(
        [sys.executable, "-m", "engram", *arguments],
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


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_two_examples(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        parse([name, "--help"])
    shown = capsys.readouterr().out
    assert "Two examples that work" in shown
    assert shown.count(f"engram {name}") >= 2 + shown.count(f"usage: engram {name}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with a run in it, and what training said."""
    home = tmp_path_factory.mktemp("home")
    done = engram("train", "--task", "Recall(4)", "--cell", "GRU(8)", "--length", "10", "--steps", "100_000", "--seeds",
                  "3", "--devices", "2", "--dir", "run", "--json", cwd=home)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return home, done


def only_object(done):
    assert len(done.stdout.splitlines()) == 1
    return json.loads(done.stdout)


def test_train_says_what_was_learnt(trained):
    said = only_object(trained[1])
    assert said["step"] == 160 * said["update"] == 100_000
    loss = said["metrics"]["losses/loss"]
    assert loss["by_seed"].keys() == {"0", "1", "2"}
    assert loss["low"] <= loss["mean"] <= loss["high"] < 0.1 * said["levels"]["memoryless"]
    assert "losses/loss" in trained[1].stderr


def test_eval_scores_on_other_data(trained):
    said = only_object(engram("eval", "run", "--steps", "5_000", "--json", cwd=trained[0]))
    assert said["update"] == 625
    assert said["metrics"]["charts/accuracy"]["mean"] > 0.98
    assert said["metrics"]["losses/loss"]["mean"] < 0.1 * said["levels"]["memoryless"]


def test_watch_shows_the_memory(trained):
    done = engram("watch", "run", "--seed", "1", "--steps", "12", "--plot", "memory.png", "--json", cwd=trained[0])
    steps = only_object(done)["steps"]
    assert [step["first"] for step in steps] == [index % 5 == 0 for index in range(12)]
    assert [step["charts/accuracy"] for step in steps[:5]] == [None, None, None, None, 1.0]
    assert all(len(step["memory"]) == 8 for step in steps)
    assert steps[0]["memory"] != steps[1]["memory"]
    assert (trained[0] / "memory.png").read_bytes().startswith(b"\x89PNG")
    assert "›" in done.stderr
    film, page = ("--plot", "memory.gif"), ("--plot", "memory.html")
    for plot in (film, page):
        engram("watch", "run", "--steps", "3", *plot, cwd=trained[0])
    with Image.open(trained[0] / "memory.gif") as drawn:
        assert drawn.n_frames == 3
    assert steps[0]["look"] in (trained[0] / "memory.html").read_text()


def test_report_writes_a_page(trained):
    said = only_object(engram("report", "run", "--json", cwd=trained[0]))
    assert said["page"] == "run/report.html"
    page = (trained[0] / said["page"]).read_text()
    assert "Recall(4)" in page
    assert "<svg" in page
    assert all((trained[0] / file).exists() for file in said["files"])


def test_list_and_doctor_say_what_there_is():
    found = only_object(engram("list", "--json"))
    assert {"GRU", "LSTM"} <= {entry["name"] for entry in found["cells"]}
    assert {"UORO", "RTRL"} <= {entry["name"] for entry in found["estimators"]}
    assert all(entry["what"] and entry["signature"].startswith(entry["name"]) for kind in found.values() for entry in kind)
    health = only_object(engram("doctor", "--json"))
    assert {"jax", "engram"} <= health["versions"].keys()
    assert health["devices"]
    assert health["extras"]["plots"]


def test_a_shell_completes(tmp_path):
    script = tmp_path / "engram.bash"
    script.write_text(engram("completion", "bash").stdout)
    function = re.search(r"^complete .*-F (\S+)", script.read_text(), re.MULTILINE)
    assert function
    ask = f'source {script}; COMP_WORDS=(engram tr); COMP_CWORD=1; {function[1]}; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["train"], done.stderr


def test_the_default_directory_stands_for_what_is_trained(tmp_path):
    asked = ("train", "--task", "Recall(2)", "--cell", "GRU(4)", "--batch", "2", "--length", "3", "--json")
    first = only_object(engram(*asked, "--steps", "600", cwd=tmp_path))
    again = only_object(engram(*asked, "--steps", "1200", cwd=tmp_path))
    other = only_object(engram(*asked, "--steps", "600", "--seed", "1", cwd=tmp_path))
    assert first["dir"] == again["dir"] != other["dir"]
    assert (first["update"], again["update"]) == (100, 200)


TRAIN = ("train", "--task", "Recall(2)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*TRAIN, "--steps", "0"), "steps = 0: give 1 at least"),
        ((*TRAIN, "--seeds", "-3"), "seeds = -3: give 1 at least"),
        ((*TRAIN, "--seed", "-1"), "seed = -1: give 0 at least"),
        ((*TRAIN, "--batch", "0"), "batch = 0: give 1 at least"),
        ((*TRAIN, "--devices", "0"), "devices = 0"),
        ((*TRAIN, "--keep", "0"), "keep >= 1"),
        ((*TRAIN, "--save-every", "-1"), "0 seconds at least"),
        (("train", "--task", "Recal(2)"), "Did you mean 'Recall'"),
        ((*TRAIN, "--cell", "GRU()"), "missing a required argument"),
        ((*TRAIN, "--cell", "__import__('os')"), "There is no '__import__'"),
        ((*TRAIN, "--estimator", "TBPTT(3)", "--length", "8"), "cannot be cut into pieces of 3"),
        ((*TRAIN, "--estimator", "RFLO()"), "cannot serve GRU"),
        ((*TRAIN, "--optimiser", "adan(1)"), "Did you mean 'adam'"),
        ((*TRAIN, "--dir", "file"), "is no run directory"),
        (("eval", "file"), "has no config.json"),
        ((*TRAIN, "--dir", "foreign"), "no run directory, and not empty"),
        (("eval", "nowhere"), "has no config.json"),
        (("eval", "foreign"), "has no config.json"),
        (("watch", "nowhere"), "has no config.json"),
        (("report", "nowhere"), "has no config.json"),
        (("report",), "no runs to report on"),
        (("list", "cels"), "There are no 'cels' to list"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_refused_before_anything_is_made(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a letter")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "letter").write_text("another")
    with jax.numpy_dtype_promotion("standard"), pytest.raises(InputError) as refused:
        parse(arguments).run()
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == {"file", "foreign", "foreign/letter"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "Permission denied", "/root/run"), 2),
        (OSError(28, "No space left on device", "/full/run"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_system_refuses_is_one_line_too(error, code, monkeypatch, capsys):
    class Refused:
        json = False

        def run(self):
            raise error

    monkeypatch.setattr("engram.cli.entry.parse", lambda arguments: Refused())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    assert str(getattr(error, "filename", None) or "Interrupted") in shown.err


def test_work_that_is_no_run_is_gone_through_under_its_title(capsys):
    assert list(track("digging", iter("abc"))) == ["a", "b", "c"]
    assert capsys.readouterr().err == "digging\n"
