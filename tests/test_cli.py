"""The command line, from a shell."""

import json
import os
import re
import subprocess
import sys

import jax
import pytest
from PIL import Image

from farback import InputError
from farback.cli.bar import track
from farback.cli.commands import COMMANDS
from farback.cli.entry import main, parse
from farback.cli.help import descriptions, summary
from farback.runs.algorithms import ALGORITHMS, Registered, arguments


def farback(*arguments, cwd=None):
    environment = os.environ | {"JAX_ENABLE_X64": "0"}
    return subprocess.run(
        [sys.executable, "-m", "farback", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=300,
    )


@pytest.mark.slow
def test_diagnose_prints_json_and_draws(tmp_path):
    estimators = "BPTT(), RTRL(), UORO(), ARTBP(8), TBPTT(2)"
    done = farback("diagnose", "--task", "AnBn(1, 8)", "--cell", "GRU(12)", "--estimators", estimators,
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
        (("--steps", "0"), "give 3 or more"),
        (("--steps", "2"), "give 3 or more"),
        (("--draws", "1"), "draws >= 2"),
        (("--plot", "no/such/folder/picture.png"), "no/such/folder"),
        (("--plot", "picture.doc"), "png"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["farback", "diagnose", *arguments])
    monkeypatch.setattr("farback.cli.entry.use_compilation_cache", lambda: None)
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert message in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""


def test_bad_input_in_a_shell_is_one_line_and_exit_code_2(tmp_path):
    done = farback("diagnose", "--cell", "GRV(3)", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("farback: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_unknown_flags_are_exit_code_2():
    assert farback("diagnose", "--cels", "GRU(3)").returncode == 2
    assert farback("diagnos").returncode == 2


@pytest.mark.parametrize("name", [name for name in [*COMMANDS, "completion"] if name not in ("train", "certify")])
def test_help_shows_two_examples(name, capsys):
    shown = help_of([name], capsys)
    assert "Two examples that work" in shown
    assert shown.count(f"farback {name}") >= 2 + shown.count(f"usage: farback {name}")


def help_of(words, capsys):
    with pytest.raises(SystemExit, match="0"):
        parse([*words, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["train"], ["certify"]], ids=str)
def test_help_lists_commands_with_one_sentence_each(words, capsys):
    shown = help_of(words, capsys)
    names = ALGORITHMS if words else [*COMMANDS, "completion"]
    entries = re.split(r"^[│ ]+• ", shown, flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in entries] == list(names)
    for entry in entries:
        text = " ".join(re.sub("[│╰─╯]", "", entry).split()[1:])
        assert text.endswith(".")
        assert len(text) < 160, text


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_help_of_an_algorithm_shows_its_arguments_with_texts(algorithm, capsys):
    shown = help_of(["train", algorithm], capsys)
    assert "Two examples that work" in shown
    for name in arguments(algorithm):
        assert re.search(f"--(no-)?{name.replace('_', '-')}", shown)
    for text in descriptions(algorithm).values():
        assert text.endswith(".")
        assert "In Python" not in text
        assert not re.match("[Α-Ω]", text), "a symbol keeps its case"
    missing = set(arguments(algorithm)) - set(descriptions(algorithm))
    assert not missing, f"no docstring for {missing}"


def test_descriptions_cut_python_and_keep_symbols(monkeypatch):
    class Documented:
        """Does something: an equation.

        **Arguments:**

        - `cell`: the memory. In Python, a maker such as `functools.partial(GRU, size=64)`.
        - `gamma`, `lam`: γ and λ of
          the advantages.
        - `coef`: c_V.
        - `rate`: a number
        """

    monkeypatch.setitem(ALGORITHMS, "documented", Registered(Documented, Documented))
    assert descriptions("documented") == {
        "cell": "The memory.",
        "gamma": "γ and λ of the advantages.",
        "lam": "γ and λ of the advantages.",
        "coef": "c_V.",
        "rate": "A number.",
    }
    assert summary("documented") == "Does something: an equation."


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with a run in it, and the result of the training command."""
    home = tmp_path_factory.mktemp("home")
    done = farback("train", "supervised", "--task", "Recall(4)", "--cell", "GRU(8)", "--window", "10", "--total-steps",
                  "100_000", "--seeds", "3", "--devices", "2", "--dir", "run", "--json", cwd=home)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return home, done


def only_object(done):
    assert len(done.stdout.splitlines()) == 1
    return json.loads(done.stdout)


@pytest.mark.slow
def test_train_prints_the_scores(trained):
    found = only_object(trained[1])
    assert found["step"] == 160 * found["update"] == 100_000
    loss = found["metrics"]["losses/loss"]
    assert loss["by_seed"].keys() == {"0", "1", "2"}
    assert loss["low"] <= loss["mean"] <= loss["high"] < 0.1 * found["levels"]["memoryless"]
    assert "losses/loss" in trained[1].stderr


@pytest.mark.slow
def test_eval_scores_on_data_that_training_never_sees(trained):
    found = only_object(farback("eval", "run", "--steps", "5_000", "--json", cwd=trained[0]))
    assert found["update"] == 625
    assert found["metrics"]["charts/accuracy"]["mean"] > 0.98
    assert found["metrics"]["losses/loss"]["mean"] < 0.1 * found["levels"]["memoryless"]


@pytest.mark.slow
def test_watch_shows_the_memory(trained):
    done = farback("watch", "run", "--seed", "1", "--steps", "12", "--plot", "memory.png", "--json", cwd=trained[0])
    steps = only_object(done)["steps"]
    assert [step["first"] for step in steps] == [index % 5 == 0 for index in range(12)]
    assert [step["charts/accuracy"] for step in steps[:5]] == [None, None, None, None, 1.0]
    assert all(len(step["memory"]) == 8 for step in steps)
    assert steps[0]["memory"] != steps[1]["memory"]
    assert len({len(step["observation"]) for step in steps}) == 1
    assert (trained[0] / "memory.png").read_bytes().startswith(b"\x89PNG")
    assert "›" in done.stderr
    film, page = ("--plot", "memory.gif"), ("--plot", "memory.html")
    for plot in (film, page):
        farback("watch", "run", "--steps", "3", *plot, cwd=trained[0])
    with Image.open(trained[0] / "memory.gif") as drawn:
        assert drawn.n_frames == 3
    assert steps[0]["text"] in (trained[0] / "memory.html").read_text()


@pytest.mark.slow
def test_report_writes_a_page(trained):
    found = only_object(farback("report", "run", "--json", cwd=trained[0]))
    assert found["page"] == "run/report.html"
    page = (trained[0] / found["page"]).read_text()
    assert "Recall(4)" in page
    assert "<svg" in page
    assert all((trained[0] / file).exists() for file in found["files"])


def test_list_and_doctor_print_json():
    found = only_object(farback("list", "--json"))
    assert {"GRU", "LSTM"} <= {entry["name"] for entry in found["cells"]}
    assert {"UORO", "RTRL"} <= {entry["name"] for entry in found["estimators"]}
    assert {"ppo", "memup"} <= {entry["name"] for entry in found["algorithms"]}
    assert all(entry["what"] and entry["name"] in entry["signature"] for kind in found.values() for entry in kind)
    health = only_object(farback("doctor", "--json"))
    assert {"jax", "farback"} <= health["versions"].keys()
    assert health["devices"]
    assert health["extras"]["plots"]


@pytest.mark.slow
def test_a_shell_completes(tmp_path):
    script = tmp_path / "farback.bash"
    script.write_text(farback("completion", "bash").stdout)
    function = re.search(r"^complete .*-F (\S+)", script.read_text(), re.MULTILINE)
    assert function
    ask = f'source {script}; COMP_WORDS=(farback tr); COMP_CWORD=1; {function[1]}; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["train"], done.stderr


@pytest.mark.slow
def test_the_default_directory_stands_for_what_is_trained(tmp_path):
    asked = (
        "train",
        "supervised",
        "--task",
        "Recall(2)",
        "--cell",
        "GRU(4)",
        "--batch-size",
        "2",
        "--window",
        "3",
        "--json",
    )
    first = only_object(farback(*asked, "--total-steps", "600", cwd=tmp_path))
    again = only_object(farback(*asked, "--total-steps", "1200", cwd=tmp_path))
    other = only_object(farback(*asked, "--total-steps", "600", "--seed", "1", cwd=tmp_path))
    assert first["dir"] == again["dir"] != other["dir"]
    assert (first["update"], again["update"]) == (100, 200)


TRAIN = ("train", "supervised", "--task", "Recall(2)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*TRAIN, "--total-steps", "0"), "total_steps = 0: give 1 to"),
        ((*TRAIN, "--seeds", "-3"), "seeds = -3: give 1 to"),
        ((*TRAIN, "--seed", "-1"), "seed = -1: give 0 to"),
        ((*TRAIN, "--batch-size", "0"), "give batch_size >= 1"),
        ((*TRAIN, "--devices", "0"), "devices = 0"),
        ((*TRAIN, "--keep-checkpoints", "0"), "keep >= 1"),
        ((*TRAIN, "--save-every", "-1"), "0 seconds or more"),
        (("train", "supervised", "--task", "Recal(2)"), "Did you mean 'Recall'"),
        ((*TRAIN, "--cell", "GRU()"), "missing a required argument"),
        ((*TRAIN, "--cell", "__import__('os')"), "There is no Cell '__import__'"),
        ((*TRAIN, "--estimator", "TBPTT(3)", "--window", "8"), "cannot be cut into pieces of 3"),
        ((*TRAIN, "--estimator", "RFLO()"), "cannot serve GRU"),
        ((*TRAIN, "--optimizer", "adan(1)"), "Did you mean 'adam'"),
        ((*TRAIN, "--dir", "file"), "not a run directory"),
        (("eval", "file"), "has no config.json"),
        ((*TRAIN, "--dir", "foreign"), "not a run directory, and not empty"),
        (("eval", "nowhere"), "has no config.json"),
        (("eval", "foreign"), "has no config.json"),
        (("watch", "nowhere"), "has no config.json"),
        (("report", "nowhere"), "has no config.json"),
        (("report",), "no runs to report on"),
        ((*TRAIN, "--optimizer", "chain(clip(1.0))", "--learning-rate", "0.1"), "has no learning rate to change"),
        (("train", "dau", "--env", "Hill()", "--learning-rate", "0.1"), "give --value-learning-rate"),
        (("train", "dau", "--env", "TMaze(3)"), "TMaze does not state its time step"),
        ((*TRAIN, "--learning-rate", "fast(1)"), "There is no optimizer 'fast'"),
        ((*TRAIN, "--config", "nowhere.toml"), "the file does not exist"),
        (("certify", "supervised", "--task", "Recall(2)"), "put {} in its place"),
        (("list", "cels"), "There is no kind 'cels'"),
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
def test_an_error_of_the_system_is_one_line(error, code, monkeypatch, capsys):
    class Refused:
        json = False

        def run(self):
            raise error

    monkeypatch.setattr("farback.cli.entry.parse", lambda arguments: Refused())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    assert str(getattr(error, "filename", None) or "Interrupted") in shown.err


def test_track_prints_its_title_where_there_is_no_terminal(capsys):
    assert list(track("digging", iter("abc"))) == ["a", "b", "c"]
    assert capsys.readouterr().err == "digging\n"
