"""A run directory: what it refuses, what it keeps, and how it is opened."""

import json
import signal

import jax
import numpy as np
import pytest
from small_runs import Walker, config, identical, rows, run, walk

import engram
from engram import InputError
from engram.reports.record import read_record
from engram.runs.checkpoint import Checkpoints
from engram.runs.config import read_config, settle, write_config
from engram.runs.interrupts import interrupts
from engram.runs.listener import AbstractListener
from engram.runs.log import Log, read_rows
from engram.runs.loop import Options, train
from engram.runs.program import Program
from engram.runs.run import load
from engram.runs.saved import evaluation_key


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


class TestDirectory:
    def test_damaged_checkpoints_are_set_aside_and_the_one_before_is_used(self, tmp_path):
        whole = run(tmp_path / "whole", config())
        for updates in (20, 40):
            run(tmp_path / "broken", config(), updates)
        last = Checkpoints(tmp_path / "broken" / "checkpoints").paths()[0]
        last.write_bytes(last.read_bytes()[:-100])
        said = []
        assert load(tmp_path / "broken", warn=said.append).facts["update"] == 20
        assert last.exists()
        broken = run(tmp_path / "broken", config(), warn=said.append)
        assert "cut short or changed" in said[0]
        assert f"'{last.stem}.damaged'" in said[1]
        assert identical(whole.running, broken.running)
        assert rows(tmp_path / "whole") == rows(tmp_path / "broken")

    def test_a_directory_whose_checkpoints_are_all_damaged_is_refused_and_kept(self, tmp_path):
        run(tmp_path, config(), 20)
        for path in (tmp_path / "checkpoints").iterdir():
            path.write_bytes(b"")
        with pytest.raises(InputError, match="No checkpoint"):
            run(tmp_path, config(), warn=lambda text: None)
        with pytest.raises(InputError, match="has rows, but there is no checkpoint"):
            run(tmp_path, config())
        assert len(rows(tmp_path)) == 6

    def test_another_configuration_is_refused_by_name(self, tmp_path):
        run(tmp_path, config(), 1)
        for name, value in (("cell", "LSTM(4)"), ("seed", 1), ("log_every", 4)):
            with pytest.raises(InputError, match=f"begun with {name} = "):
                run(tmp_path, config(**{name: value}))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"cell": "GRU(5)"}, r"cell = GRU\(4\), and not GRU\(5\)"),
            ({"optimiser": "sgd(0.1)"}, "optimiser = "),
            ({"batch": "2"}, "batch = '2': give a whole number"),
            ({"cell": 3}, "cell = 3: give an expression"),
            ({"cell": "open('x')"}, "There is no 'open'"),
            ({"seeds": -1}, "seeds = -1: give 1 at least"),
            ({"colour": "red"}, "wrong or missing: colour"),
        ],
    )
    def test_a_config_edited_into_nonsense_is_refused(self, change, message, tmp_path):
        run(tmp_path, config(), 5)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
        with pytest.raises(InputError, match=message):
            run(tmp_path, read_config(tmp_path))
        assert {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == before

    def test_foreign_and_unreadable_directories_are_refused(self, tmp_path):
        (tmp_path / "letter.txt").write_text("Dear Sir")
        with pytest.raises(InputError, match="no run directory, and not empty"):
            run(tmp_path, config())
        with pytest.raises(InputError, match=r"has no config\.json"):
            load(tmp_path)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(InputError, match="is no JSON"):
            load(tmp_path)

    def test_a_log_changed_by_hand_is_refused(self, tmp_path):
        run(tmp_path, config(), 30)
        path = tmp_path / "metrics.jsonl"
        path.write_text(path.read_text()[:100])
        with pytest.raises(InputError, match="rows were lost"):
            run(tmp_path, config())
        path.write_text('{"update": 3}\n')
        with pytest.raises(InputError, match="Line 1 of"):
            read_rows(path)

    def test_a_log_is_cut_and_goes_on(self, tmp_path):
        log = Log(tmp_path / "metrics.jsonl")
        log.append([{"update": 1, "step": 1, "seed": 0}])
        size = log.size
        log.append([{"update": 2, "step": 2, "seed": 0}])
        log.cut(size)
        log.append([{"update": 3, "step": 3, "seed": 0}])
        log.close()
        assert [row["update"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1, 3]


class Deaf(AbstractListener):
    def begin(self, program, update, updates):
        self.began = (update, updates)

    def progress(self, update, rows):
        raise RuntimeError("no network")

    def end(self):
        raise AssertionError("it was told more")


def test_a_listener_that_fails_is_told_no_more_and_stops_nothing(tmp_path):
    said, deaf = [], Deaf()
    assert run(tmp_path, config(), listeners=[deaf], warn=said.append).facts["update"] == 70
    assert said == ["Deaf failed and is told no more: RuntimeError: no network"]
    assert deaf.began == (0, 70)


def test_a_saved_run_is_scored_on_other_data(tmp_path):
    saved = run(tmp_path, config("BPTT()", seeds=2, length=8, steps=16 * 600))
    best = load(tmp_path, "best")
    scores = saved.evaluate(50)
    assert scores.keys() == {5, 6}
    for one in scores.values():
        assert one["charts/accuracy"].count == 50 * 8 * 2 / 4
        assert one["losses/loss"].mean < 0.5 * saved.program.trial.aim.levels["memoryless"]
    assert best.facts["score"] <= saved.facts["score"]


def test_a_run_of_ones_own_is_opened_with_its_program(tmp_path):
    walk(tmp_path, Walker(bad_update=0), 20)
    saved = load(tmp_path, program=Program(Walker(bad_update=0), (5, 6), 10))
    assert [float(model["x"][0]) for model in saved.models().values()] == [20, 20]
    record = read_record(tmp_path, saved.program.trial.aim)
    assert record.metric == "losses/loss"
    assert len(record.rows) == 4


def test_fewer_steps_than_are_done_change_nothing(tmp_path):
    run(tmp_path, config(steps=200))
    before = (tmp_path / "config.json").read_text()
    assert engram.run(config(steps=40), tmp_path) == 50
    assert (tmp_path / "config.json").read_text() == before


@pytest.mark.parametrize("minimise", [True, False])
def test_the_best_checkpoint_is_kept_over_processes(minimise, tmp_path):
    """The aim is best about update 30, and is judged by the ten updates before a checkpoint."""
    for updates in range(10, 81, 10):
        program = Program(Walker(valley=30, minimise=minimise), (5,), 1)
        train(program, tmp_path, updates, options=Options(keep=1))
    assert [int(path.stem) for path in Checkpoints(tmp_path / "checkpoints").paths()] == [80, 40]
    assert load(tmp_path, "best", program=program).facts["update"] == 40
    assert load(tmp_path, "newest", program=program).facts["update"] == 80


def test_what_scores_is_drawn_from_no_key_of_training():
    for seed in (0, 5):
        training = {bytes(np.asarray(jax.random.key_data(key))) for key in jax.random.split(jax.random.key(seed), 3)}
        assert bytes(np.asarray(jax.random.key_data(evaluation_key(seed)))) not in training


def test_a_directory_that_another_process_began_meanwhile_is_left_alone(tmp_path, monkeypatch):
    settle_before = engram.runs.run.settle

    def settle_late(directory, config_):
        settled = settle_before(directory, config_)
        if not (tmp_path / "config.json").exists():
            run(tmp_path, config(seed=9), 5)
        return settled

    monkeypatch.setattr("engram.runs.run.settle", settle_late)
    with pytest.raises(InputError, match="begun with seed = 9"):
        engram.run(config(), tmp_path)
    assert read_config(tmp_path).seed == 9


def test_what_failed_before_it_learnt_anything_does_not_block_its_directory(tmp_path):
    write_config(tmp_path, config(cell="LSTM(4)", log_every=2))
    assert engram.run(config(), tmp_path) == 70
    assert read_config(tmp_path).cell == "GRU(4)"


def test_a_record_is_known_again_whatever_holds_its_numbers(tmp_path):
    program = Program(Walker(), (5,), 10)
    train(program, tmp_path, 5, record={"sizes": (1, 2)})
    assert train(program, tmp_path, 10, record={"sizes": [1, 2]}) == 10
    with pytest.raises(InputError, match="sizes = "):
        train(program, tmp_path, 15, record={"sizes": [1, 3]})


def test_half_a_config_does_not_block_its_directory(tmp_path):
    (tmp_path / ".config.json.part").write_text("{")
    assert settle(tmp_path, config()) == config()


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with interrupts(print) as noted:
            signal.raise_signal(signal.SIGHUP)
        assert noted.signal is None
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with interrupts(lambda text: None) as noted:
            signal.raise_signal(signal.SIGHUP)
        assert noted.signal == signal.SIGHUP
    finally:
        signal.signal(signal.SIGHUP, before)
