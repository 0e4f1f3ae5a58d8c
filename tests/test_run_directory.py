"""A run directory: what it refuses, what it keeps, and how it is opened."""

import json
import signal

import jax
import numpy as np
import pytest
from small_runs import Walker, config, identical, rows, run, walk

import farback
from farback import InputError
from farback.algorithm import summed
from farback.reports.record import read_record
from farback.runs.checkpoint import Checkpoints
from farback.runs.config import read_config
from farback.runs.directory import resolve_config, write_config
from farback.runs.interrupts import interrupts
from farback.runs.listener import AbstractListener
from farback.runs.log import Log, read_rows
from farback.runs.loop import train
from farback.runs.options import Options
from farback.runs.program import Program
from farback.runs.run import load
from farback.runs.saved import evaluation_key


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


class TestDirectory:
    def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(self, tmp_path):
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
        assert identical(whole.state, broken.state)
        assert rows(tmp_path / "whole") == rows(tmp_path / "broken")

    def test_a_directory_with_only_damaged_checkpoints_is_refused_and_kept(self, tmp_path):
        run(tmp_path, config(), 20)
        for path in (tmp_path / "checkpoints").iterdir():
            path.write_bytes(b"")
        with pytest.raises(InputError, match="no whole checkpoint"):
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
            ({"cell": "GRU(5)"}, r"cell = GRU\(4\), not GRU\(5\)"),
            ({"optimizer": "sgd(0.1)"}, "optimizer = "),
            ({"estimator": "RTRL()"}, "estimator = "),
            ({"batch_size": "2"}, "batch_size = '2': give a whole number"),
            ({"cell": 3}, "cell = 3: give an expression"),
            ({"cell": "open('x')"}, "There is no Cell 'open'"),
            ({"window": 2.5}, "window = 2.5: give a whole number"),
            ({"window": True}, "window = True: give a whole number"),
            ({"windows": 3}, "no argument 'windows'. Did you mean 'window'"),
            ({"task": None}, "task = None: give an expression of the kind Task"),
        ],
    )
    def test_an_argument_edited_by_hand_is_refused(self, change, message, tmp_path):
        run(tmp_path, config(), 5)
        self.refused(tmp_path, lambda stored: stored | {"arguments": stored["arguments"] | change}, message)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"seeds": -1}, "seeds = -1: give 1 to"),
            ({"colour": "red"}, "wrong or missing keys: colour"),
            ({"algorithm": "superviced"}, "Did you mean 'supervised'"),
            ({"algorithm": "ppo"}, "ppo has no argument 'task'"),
            ({"farback": 99}, "not in the format of this Farback"),
            ({"arguments": []}, "arguments an object"),
        ],
    )
    def test_a_config_edited_by_hand_is_refused(self, change, message, tmp_path):
        run(tmp_path, config(), 5)
        self.refused(tmp_path, lambda stored: stored | change, message)

    def test_an_argument_edited_back_to_its_default_is_refused(self, tmp_path):
        """A default is not in the record, so its absence must be noticed."""
        run(tmp_path, config(optimizer="adam(1e-2)"), 5)
        self.refused(
            tmp_path,
            lambda stored: stored | {"arguments": stored["arguments"] | {"optimizer": "adam(3e-3)"}},
            "optimizer = ",
        )

    def test_a_config_without_a_required_argument_is_refused(self, tmp_path):
        run(tmp_path, config(), 5)
        lacking = ("task",)

        def change(stored):
            return stored | {"arguments": {name: v for name, v in stored["arguments"].items() if name not in lacking}}

        self.refused(tmp_path, change, "supervised requires task: give task")

    def refused(self, directory, change, message):
        """Opening and resuming are refused in one line, and the checkpoints stay as they are."""
        path = directory / "config.json"
        path.write_text(json.dumps(change(json.loads(path.read_text()))))
        before = {path: path.read_bytes() for path in (directory / "checkpoints").iterdir()}
        for use in (lambda: farback.run_config(read_config(directory), directory), lambda: load(directory)):
            with pytest.raises(InputError, match=message) as caught:
                use()
            assert "\n" not in str(caught.value)
        assert {path: path.read_bytes() for path in (directory / "checkpoints").iterdir()} == before

    def test_a_directory_of_the_first_format_is_refused(self, tmp_path):
        old = {"task": "Recall(3)", "env": None, "agent": None, "cell": "GRU(4)", "estimator": "BPTT()", "batch": 2}
        (tmp_path / "config.json").write_text(json.dumps(old))
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / "000000000000.engram").write_bytes(b"engram checkpoint 1\n")
        for use in (lambda: load(tmp_path), lambda: farback.run_config(config(), tmp_path)):
            with pytest.raises(InputError, match="is not in the format of this Farback") as caught:
                use()
            assert "\n" not in str(caught.value)

    def test_foreign_and_unreadable_directories_are_refused(self, tmp_path):
        (tmp_path / "letter.txt").write_text("Dear Sir")
        with pytest.raises(InputError, match="not a run directory, and not empty"):
            run(tmp_path, config())
        with pytest.raises(InputError, match=r"has no config\.json"):
            load(tmp_path)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(InputError, match="is not JSON"):
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

    def test_a_log_is_cut_back_and_appended_to(self, tmp_path):
        log = Log(tmp_path / "metrics.jsonl")
        log.append([{"update": 1, "step": 1, "seed": 0}])
        size = log.size
        log.append([{"update": 2, "step": 2, "seed": 0}])
        log.cut(size)
        log.append([{"update": 3, "step": 3, "seed": 0}])
        log.close()
        assert [row["update"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1, 3]


class Failing(AbstractListener):
    def begin(self, program, update, updates):
        self.began = (update, updates)

    def progress(self, update, rows):
        raise RuntimeError("no network")

    def end(self):
        raise AssertionError("a dropped listener got an event")


def test_a_listener_that_raises_is_dropped_and_the_run_continues(tmp_path):
    said, failing = [], Failing()
    assert run(tmp_path, config(), listeners=[failing], warn=said.append).facts["update"] == 70
    assert said == ["Failing failed and gets no more events: RuntimeError: no network"]
    assert failing.began == (0, 70)


@pytest.mark.slow
def test_a_loaded_run_is_scored_on_data_that_training_never_sees(tmp_path):
    saved = run(tmp_path, config("BPTT()", seeds=2, window=8, total_steps=16 * 600))
    best = load(tmp_path, "best")
    scores = saved.evaluate(steps=50 * 8 * 2)
    assert scores.keys() == {5, 6}
    for one in map(summed, scores.values()):
        assert one["charts/accuracy"].count == 50 * 8 * 2 / 4
        assert one["losses/loss"].mean < 0.5 * saved.algorithm.criterion.levels["memoryless"]
    assert best.facts["score"] <= saved.facts["score"]


def test_a_run_without_a_config_is_opened_with_its_program(tmp_path):
    walk(tmp_path, Walker(bad_update=0), 20)
    saved = load(tmp_path, program=Program(Walker(bad_update=0), (5, 6), 10))
    assert [float(network["x"][0]) for network in saved.networks().values()] == [20, 20]
    record = read_record(tmp_path, saved.algorithm.criterion)
    assert record.metric == "losses/loss"
    assert len(record.rows) == 4


def test_fewer_steps_than_are_done_change_nothing(tmp_path):
    run(tmp_path, config(total_steps=200))
    before = (tmp_path / "config.json").read_text()
    assert farback.run_config(config(total_steps=40), tmp_path) == 50
    assert (tmp_path / "config.json").read_text() == before


@pytest.mark.parametrize("minimise", [True, False])
def test_the_best_checkpoint_is_kept_over_processes(minimise, tmp_path):
    """The criterion is best at update 30; a checkpoint is scored by the ten rows before it."""
    for updates in range(10, 81, 10):
        program = Program(Walker(valley=30, minimise=minimise), (5,), 1)
        train(program, tmp_path, updates, options=Options(keep=1))
    assert [int(path.stem) for path in Checkpoints(tmp_path / "checkpoints").paths()] == [80, 40]
    assert load(tmp_path, "best", program=program).facts["update"] == 40
    assert load(tmp_path, "newest", program=program).facts["update"] == 80


def test_evaluation_keys_are_not_keys_of_training():
    for seed in (0, 5):
        training = {bytes(np.asarray(jax.random.key_data(key))) for key in jax.random.split(jax.random.key(seed), 3)}
        assert bytes(np.asarray(jax.random.key_data(evaluation_key(seed)))) not in training


def test_a_directory_that_another_process_has_begun_is_left_alone(tmp_path, monkeypatch):
    resolve_before = farback.runs.run.resolve_config

    def resolve_late(directory, given):
        resolved = resolve_before(directory, given)
        if not (tmp_path / "config.json").exists():
            run(tmp_path, config(seed=9), 5)
        return resolved

    monkeypatch.setattr("farback.runs.run.resolve_config", resolve_late)
    with pytest.raises(InputError, match="begun with seed = 9"):
        farback.run_config(config(), tmp_path)
    assert read_config(tmp_path).seed == 9


def test_a_run_that_failed_before_it_began_does_not_block_its_directory(tmp_path):
    write_config(tmp_path, config(cell="LSTM(4)", log_every=2))
    assert farback.run_config(config(), tmp_path) == 70
    assert read_config(tmp_path).arguments["cell"] == "GRU(4)"


def test_a_record_is_compared_as_json(tmp_path):
    program = Program(Walker(), (5,), 10)
    train(program, tmp_path, 5, record={"sizes": (1, 2)})
    assert train(program, tmp_path, 10, record={"sizes": [1, 2]}) == 10
    with pytest.raises(InputError, match="sizes = "):
        train(program, tmp_path, 15, record={"sizes": [1, 3]})


def test_half_a_config_file_does_not_block_its_directory(tmp_path):
    (tmp_path / ".config.json.part").write_text("{")
    assert resolve_config(tmp_path, config()) == config()


def test_an_ignored_signal_stays_ignored():
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
