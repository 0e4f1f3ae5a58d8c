"""A run goes on as if it had never been broken off, and its seeds as if each were alone."""

import dataclasses
import functools
import json
import threading
from operator import itemgetter
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import engram
from engram import InputError, Outcome, Tally
from engram.reports.record import read_record
from engram.runs.checkpoint import Checkpoints, facts, read, write
from engram.runs.config import Config, read_config, settle, write_config
from engram.runs.listener import AbstractListener
from engram.runs.log import Log, read_rows
from engram.runs.loop import Options, StoppedError, train
from engram.runs.optimiser import halvable
from engram.runs.program import ROWS, Program
from engram.runs.saved import Saved, evaluation_key, load
from engram.runs.trial import AbstractTrial, Objective

TIMES = ("charts/SPS", "time/seconds")


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def config(estimator="UORO()", cell="GRU(4)", seeds=1, steps=280, **changes):
    settings = {"task": "Recall(3)", "optimiser": "adam(1e-2)", "batch": 2, "length": 2, "seed": 5, "log_every": 3}
    return Config(**(settings | {"cell": cell, "estimator": estimator, "seeds": seeds, "steps": steps} | changes))


@functools.cache
def program_of(config, devices):
    """What is compiled once for the many runs of a test; tests/test_survival.py has processes of their own."""
    return config.program(devices)


def run(directory, config, updates=None, devices=1, **more):
    settled = settle(directory, config)
    program = program_of(dataclasses.replace(settled, steps=1), devices)
    directory.mkdir(parents=True, exist_ok=True)
    write_config(directory, settled)
    train(program, directory, updates or settled.updates, record=settled.record, **more)
    facts, running = newest(directory, program)
    return Saved(program, running, facts)


def newest(directory, program):
    path = Checkpoints(directory / "checkpoints").paths()[0]
    return facts(path), read(path, program.like)


def leaves(running):
    named = jax.tree.leaves_with_path(running)
    plain = {
        jax.tree_util.keystr(path): np.asarray(
            jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        )
        for path, leaf in named
    }
    assert plain
    return plain


def identical(one, other):
    one, other = leaves(one), leaves(other)
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def rows(directory):
    found = read_rows(directory / "metrics.jsonl")
    return [{name: value for name, value in row.items() if name not in TIMES} for row in found]


@pytest.mark.parametrize("estimator", ["UORO()", "RTRL()", "ARTBP(2)", "KFRTRL()", "BPTT()"])
def test_a_broken_run_is_an_unbroken_one(estimator, tmp_path):
    whole = run(tmp_path / "whole", config(estimator))
    for updates in (1, 2, 13, 14, 40, 70):  # within a row of the log, and at its end
        broken = run(tmp_path / "broken", config(estimator), updates)
        assert broken.facts["update"] == updates
    assert identical(whole.running, broken.running)
    assert rows(tmp_path / "whole") == rows(tmp_path / "broken")
    assert [row["update"] for row in rows(tmp_path / "whole")] == list(range(3, 70, 3))


def test_more_steps_go_on(tmp_path):
    whole = run(tmp_path / "whole", config(steps=400))
    run(tmp_path / "longer", config(steps=200))
    longer = run(tmp_path / "longer", config(steps=400, log_every=None))
    assert identical(whole.running, longer.running)
    assert rows(tmp_path / "whole") == rows(tmp_path / "longer")
    assert read_config(tmp_path / "longer").steps == 400


@pytest.mark.parametrize("lost", [".learning.carry.trace", ".learning.optimiser", ".learning.key", ".sources", ".row"])
def test_control_a_state_that_lacks_anything_goes_another_way(lost, tmp_path):
    whole = run(tmp_path / "whole", config())
    run(tmp_path / "broken", config(), 31)
    path = Checkpoints(tmp_path / "broken" / "checkpoints").paths()[0]
    running = read(path, whole.program.like)
    spoilt = jax.tree_util.tree_map_with_path(
        lambda path, leaf: fresh(leaf) if lost in jax.tree_util.keystr(path) else leaf, running
    )
    write(path, spoilt, facts(path))
    broken = run(tmp_path / "broken", config())
    assert not identical(whole.running, broken.running) or rows(tmp_path / "whole") != rows(tmp_path / "broken")


def fresh(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(9), leaf.shape)
    return jnp.zeros_like(leaf)


def test_the_log_goes_on_without_gaps_or_repeats_where_a_process_died(tmp_path):
    """What was logged after the checkpoint is cut off, also half of a row."""
    whole = run(tmp_path / "whole", config())
    run(tmp_path / "died", config(), 31)
    with (tmp_path / "died" / "metrics.jsonl").open("a") as file:
        file.write('{"update": 33, "step": 132, "seed": 5, "losses/loss": 7.0}\n{"upda')
    assert rows(tmp_path / "died")[-1]["losses/loss"] == 7.0
    died = run(tmp_path / "died", config())
    assert identical(whole.running, died.running)
    assert rows(tmp_path / "whole") == rows(tmp_path / "died")


def test_many_rows_are_logged_in_any_number_of_calls(tmp_path):
    saved = run(tmp_path, config(steps=4 * 3 * (2 * ROWS + 5)))
    assert [row["update"] for row in rows(tmp_path)] == list(range(3, saved.facts["update"] + 1, 3))


class TestSeeds:
    """Seeds are a batch axis."""

    @pytest.mark.parametrize("estimator", ["UORO()", "BPTT()"])
    def test_each_is_what_it_would_be_alone(self, estimator, tmp_path):
        together = run(tmp_path / "together", config(estimator, seeds=3))
        for index, seed in enumerate((5, 6, 7)):
            alone = run(tmp_path / f"{seed}", config(estimator, seed=seed))
            one, other = leaves(together.running), leaves(alone.running)
            for name in one:
                assert np.allclose(one[name][index], other[name][0], rtol=1e-9, atol=1e-11), name
            own = [row for row in rows(tmp_path / "together") if row["seed"] == seed]
            assert [row["losses/loss"] for row in own] == pytest.approx(
                [row["losses/loss"] for row in rows(tmp_path / f"{seed}")], rel=1e-9
            )

    def test_they_begin_bit_for_bit_as_they_would_alone(self):
        together = config(seeds=3).program().init()
        for index, seed in enumerate((5, 6, 7)):
            alone = config(seed=seed).program().init()
            assert identical(jax.tree.map(itemgetter(slice(index, index + 1)), together), alone)

    def test_control_seeds_differ(self):
        models = load_models(config(seeds=2))
        assert not jnp.allclose(models[0], models[1])

    @pytest.mark.parametrize(("seeds", "batch"), [(2, 3), (1, 4), (3, 4)], ids=["seeds", "batch", "batch-of-seeds"])
    def test_devices_do_not_matter(self, seeds, batch, tmp_path):
        one = run(tmp_path / "one", config(seeds=seeds, batch=batch))
        two = run(tmp_path / "two", config(seeds=seeds, batch=batch), devices=2)
        first, second = leaves(one.running), leaves(two.running)
        for name in first:
            assert np.allclose(first[name], second[name], rtol=1e-8, atol=1e-10), name

    def test_devices_that_divide_nothing_are_refused(self):
        with pytest.raises(InputError, match="divides neither seeds = 3 nor batch = 5"):
            config(seeds=3, batch=5).program(2)
        with pytest.raises(InputError, match="there are 2"):
            config().program(3)


def load_models(config):
    program = config.program()
    running = program.init()
    return [
        jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(eqx.filter(program.model(running, index), eqx.is_array))])
        for index in range(config.seeds)
    ]


class Walk(NamedTuple):
    x: jax.Array
    halvings: tuple
    count: jax.Array
    seed: jax.Array
    hidden: jax.Array


class Walker(AbstractTrial):
    """Its model grows; it becomes infinite at one update of one seed, if the step was not halved `needs` times."""

    bad_update: int = 37
    bad_seed: int = 6
    needs: int = 1
    bad: str = "parameter"
    valley: int = 0
    minimise: bool = True

    @property
    def steps(self):
        return 1

    @property
    def objective(self):
        return Objective("losses/loss", self.minimise, {})

    def init(self, key):
        return Walk(
            jnp.zeros(2), halvable().init(None), jnp.zeros((), int), jax.random.key_data(key)[-1].astype(int), jnp.zeros(())
        )

    def update(self, state):
        step, _ = halvable().update(jnp.ones(2), state.halvings)
        due = (state.count + 1 == self.bad_update) & (state.seed == self.bad_seed) & (step[0] > 0.5**self.needs)
        value = jnp.where(due, jnp.inf, 0.0)
        x = state.x + step + (jnp.array([0.0, 1.0]) * value if self.bad == "parameter" else 0.0)
        loss = state.x[0] + (value if self.bad == "loss" else 0.0)
        if self.valley:
            loss = (1 if self.minimise else -1) * (state.count - self.valley).astype(float) ** 2
        if self.bad == "state":  # of which the parameters are NaN one update later
            x = x + 0 * state.hidden
            state = state._replace(hidden=state.hidden + value)
        return Walk(x, state.halvings, state.count + 1, state.seed, state.hidden), Outcome(
            loss, {"x": Tally(loss, jnp.ones(()))}
        )

    def model(self, state):
        return {"x": state.x}

    def evaluate(self, model, key, updates):
        return Outcome(model["x"][0], {})

    def watch(self, model, key, steps):
        raise NotImplementedError


def walk(directory, trial, updates=100, *, seeds=(5, 6), warn=print, **options):
    program = Program(trial, seeds, 10)
    train(program, directory, updates, options=Options(**options), warn=warn)
    return newest(directory, program)[1].state


class TestNaN:
    @pytest.mark.parametrize(("bad", "named"), [("parameter", r"parameter \['x'\]"), ("loss", "the loss")])
    def test_the_run_stops_and_says_where(self, bad, named, tmp_path):
        walk(tmp_path, Walker(bad=bad), 20)
        before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
        with pytest.raises(StoppedError, match=rf"{named} of seed 6 at update 37.*update 20 is good") as stopped:
            walk(tmp_path, Walker(bad=bad))
        assert stopped.value.code == 1
        assert {path: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == before

    @pytest.mark.parametrize("needs", [1, 3])
    def test_restore_goes_back_and_halves_the_step_of_the_seed_that_failed(self, needs, tmp_path):
        said = []
        walk(tmp_path, Walker(needs=needs), 20)
        state = walk(tmp_path, Walker(needs=needs), on_nan="restore", warn=said.append)
        assert len(said) == needs
        assert "back to update 20" in said[0]
        assert state.x[0, 0] == 100
        assert state.x[1, 0] == 20 + 80 * 0.5**needs
        found = rows(tmp_path)
        assert [(row["update"], row["seed"]) for row in found] == [
            (at, seed) for at in range(10, 101, 10) for seed in (5, 6)
        ]
        assert found[-1]["charts/x"] < found[-2]["charts/x"]

    def test_restore_gives_up(self, tmp_path):
        with pytest.raises(StoppedError, match="of seed 6 at update 37"):
            walk(tmp_path, Walker(needs=10_000), on_nan="restore", warn=lambda text: None)

    def test_a_state_that_is_not_finite_is_never_saved(self, tmp_path):
        """A checkpoint just before the parameters are NaN would be restored for ever."""
        walk(tmp_path, Walker(bad="state"), 20)
        with pytest.raises(StoppedError, match=r"hidden of the state of seed 6 at update 37.*update 20 is good"):
            walk(tmp_path, Walker(bad="state"), 37)
        assert walk(tmp_path, Walker(bad="state"), on_nan="restore", warn=lambda text: None).x[1, 0] == 60

    def test_control_a_seed_that_stays_finite_goes_on(self, tmp_path):
        assert walk(tmp_path, Walker(bad_seed=7)).x[1, 0] == 100


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
        assert one["losses/loss"].mean < 0.5 * saved.program.trial.objective.levels["memoryless"]
    assert best.facts["score"] <= saved.facts["score"]


def test_optimisers_are_expressions(tmp_path):
    text = "chain(clip_by_global_norm(1.0), adam(linear_schedule(1e-2, 0.0, 10_000), b1=0.5))"
    learner = config(optimiser=text).trial().learner
    assert isinstance(learner.optimiser, optax.GradientTransformation)
    for bad, message in [
        ("adan(1)", "Did you mean 'adam'"),
        ("adam()", "missing a required argument"),
        ("adam('fast')", "an argument is a number"),
        ("adam(1e-3, momentum=0.9)", "no argument 'momentum'"),
        ("linear_schedule(1.0, 0.0, 10)", "is no optimiser"),
        ("adam(sgd(1.0))", "an argument is a number"),
        ("chain(0.1)", "is no optimiser"),
    ]:
        with pytest.raises(InputError, match=message):
            config(optimiser=bad).trial()


def test_a_run_of_ones_own_is_opened_with_its_program(tmp_path):
    walk(tmp_path, Walker(bad_update=0), 20)
    saved = load(tmp_path, program=Program(Walker(bad_update=0), (5, 6), 10))
    assert [float(model["x"][0]) for model in saved.models().values()] == [20, 20]
    record = read_record(tmp_path, saved.program.trial.objective)
    assert record.metric == "losses/loss"
    assert len(record.rows) == 4


def test_restoring_needs_a_step_that_can_be_halved(tmp_path):
    stream = config().trial()
    plain = eqx.tree_at(lambda trial: trial.learner.optimiser, stream, optax.sgd(0.1))
    with pytest.raises(InputError, match="end it with halvable"):
        train(Program(plain, (0,), 10), tmp_path, 10, options=Options(on_nan="restore"))


def test_a_record_is_known_again_whatever_holds_its_numbers(tmp_path):
    program = Program(Walker(), (5,), 10)
    train(program, tmp_path, 5, record={"sizes": (1, 2)})
    assert train(program, tmp_path, 10, record={"sizes": [1, 2]}) == 10
    with pytest.raises(InputError, match="sizes = "):
        train(program, tmp_path, 15, record={"sizes": [1, 3]})


def test_fewer_steps_than_are_done_change_nothing(tmp_path):
    run(tmp_path, config(steps=200))
    before = (tmp_path / "config.json").read_text()
    assert engram.run(config(steps=40), tmp_path) == 50
    assert (tmp_path / "config.json").read_text() == before


def test_signals_are_left_alone_off_the_main_thread(tmp_path):
    done = []
    thread = threading.Thread(target=lambda: done.append(train(Program(Walker(), (5,), 10), tmp_path, 10)))
    thread.start()
    thread.join()
    assert done == [10]


@pytest.mark.parametrize("minimise", [True, False])
def test_the_best_checkpoint_is_kept_over_processes(minimise, tmp_path):
    """The objective is best about update 30, and is judged by the ten updates before a checkpoint."""
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
