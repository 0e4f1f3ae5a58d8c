"""Each item of a paper runs, goes on where it was broken off, and sets the paper's numbers beside ours."""

import json
import math

import equinox as eqx
import jax
import numpy as np
import optax
import pytest

from engram import ARTBP, PPO, InputError, Learner
from engram.cli.reproduce import find
from engram.papers import PAPERS
from engram.papers.designed import UNKNOWN, chosen_of, mdp
from engram.papers.item import Place, last_steps, until
from engram.papers.learnt import ASSOCIATIVE, learner
from engram.papers.mazes import below, updates_to
from engram.papers.page import page, section, table
from engram.papers.reproduce import place_of, reproduce
from engram.papers.rl2 import MDP_BUDGETS
from engram.reports.curves import draw_metric
from engram.reports.dots import draw_dots
from engram.reports.ends import draw_ends
from engram.reports.numbers import number
from engram.reports.record import Record
from engram.runs.config import Config
from engram.runs.listener import AbstractListener
from engram.runs.segments import SegmentTrial
from engram.runs.trial import StreamTrial
from engram.strategies import BEB, UCB1, Believing
from engram.tasks import InfluenceBalancing

UNTRAINED = {"uoro/variance-width", "memup/cost", "memup/longest"}
ITEMS = {item.name: (paper, item) for paper in PAPERS.values() for item in paper.ITEMS}


@pytest.fixture(autouse=True)
def _as_it_is_run():
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


class Counter(AbstractListener):
    """Counts the updates that it hears of."""

    def __init__(self):
        self.heard = 0

    def begin(self, program, update, updates):
        self.done = update

    def progress(self, update, rows):
        self.heard += update - self.done
        self.done = update

    def end(self):
        pass


@pytest.mark.parametrize("name", [name for name, (_, item) in ITEMS.items() if not item.runs])
def test_every_item_runs_and_does_not_run_twice(name, tmp_path):
    """With those that show other parts of its runs."""
    for other, (_, item) in ITEMS.items():
        if name in (other, item.runs):
            runs_once(other, tmp_path)


def runs_once(name, tmp_path):
    _, item = ITEMS[name]
    first, second = Counter(), Counter()
    result = reproduce(item, "smoke", tmp_path, listener=lambda title: first)
    again = reproduce(item, "smoke", tmp_path, listener=lambda title: second)
    assert item.runs or (first.heard == 0) == (name in UNTRAINED)
    assert second.heard == 0
    assert [line["ours"] for line in again["lines"]] == [line["ours"] for line in result["lines"]]
    assert item.runs or all(line["ours"]["mean"] is not None or line["ended"] for line in result["lines"])
    home = tmp_path / name / "smoke"
    assert json.loads((home / "result.json").read_text())["lines"] == again["lines"]
    assert (home / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = section(name.partition("/")[0], result)
    assert item.title in written
    assert f"engram reproduce {name} --scale smoke" in written


@pytest.mark.parametrize("name", ITEMS)
@pytest.mark.parametrize("scale", ["laptop", "paper"])
def test_every_claim_is_in_the_table(name, scale):
    _, item = ITEMS[name]
    cases = item.cases(scale)
    assert len({place_of(case.name) for case in cases}) == len(cases)
    assert item.minutes[scale] >= item.minutes["smoke"]
    ours = {"mean": 1.0, "low": None, "high": None, "count": 0}
    line = {"name": "", "ours": ours, "by_seed": {}, "steps": 1, "ended": "", "note": ""}
    lines = [line | {"claimed": case.claimed, "steps_per_second": None} for case in cases]
    columns, rows = table({"across": False, "unit": item.unit.name, "lines": lines})
    if any(case.claimed for case in cases):
        assert columns[1].startswith("paper")
        assert [row[1] for row in rows] == ["" if case.claimed is None else number(case.claimed) for case in cases]
    else:
        assert columns[1].startswith("ours")


def test_a_line_says_how_many_seeds_have_a_result():
    def seeds(count):
        ours = {"mean": 1.0, "low": None, "high": None, "count": count}
        line = {
            "name": "A",
            "ours": ours,
            "claimed": None,
            "by_seed": {"0": 1.0, "1": 1.0, "2": None},
            "ended": "",
            "note": "",
        }
        result = {"across": False, "unit": "steps", "lines": [line | {"steps": 1, "steps_per_second": None}]}
        return table(result)[1][0][2]

    assert seeds(3) == "3"
    assert seeds(2) == "2 of 3"


def test_a_table_has_columns_and_rows():
    def line(name, mean, low=None, high=None, claimed=None, note=""):
        ours = {"mean": mean, "low": low, "high": high}
        return {"name": name, "ours": ours, "claimed": claimed, "ended": "", "note": note}

    lines = [line("10: A", 2.0, 1.9, 2.3, 2.5), line("10: B", 1.0, note="c = 3"), line("25: A", 4.0)]
    result = {"across": True, "unit": "reward", "lines": lines}
    assert table(result) == (("", "10", "25"), [("A", "2 ± 0.2 (2.5)", "4"), ("B", "1", "")])
    about = {"item": "p/i", "title": "T", "shows": "S", "levels": {}, "command": "c", "machine": "m", "date": "d"}
    assert "| notes | 10 | 25 |\n| --- | --- | --- |\n| B | c = 3 |  |\n" in section("p", result | about)


def test_a_page_keeps_what_was_not_run_again():
    titles = ["One", "Two", "Three"]
    first = page("Paper", titles, {"Three": "## Three\n\nold\n", "One": "## One\n\nold\n"})
    assert first == "# Paper\n\n## One\n\nold\n\n## Three\n\nold\n"
    assert page("Paper", titles, {}, first) == first
    second = page("Paper", titles, {"Two": "## Two\n\nnew\n", "Three": "## Three\n\nnew\n"}, first)
    assert second == "# Paper\n\n## One\n\nold\n\n## Two\n\nnew\n\n## Three\n\nnew\n"
    assert page("Paper", titles[1:], {}, second) == "# Paper\n\n## Two\n\nnew\n\n## Three\n\nnew\n"


def test_dots_are_parts_of_the_best():
    picture = draw_dots(["10", "25"], {"A": [2.0, 4.0], "B": [1.0, math.nan]}, "reward")
    drawn = [dots.get_ydata().tolist() for dots in picture.axes[0].lines]
    assert drawn[0] == [1.0, 1.0]
    assert drawn[1][0] == 0.5
    assert math.isnan(drawn[1][1])


def test_ends_have_a_row_each():
    rows = [{"seed": seed, "step": 5, "r": value} for seed, value in enumerate((1.0, 2.0, 6.0))]
    picture = draw_ends([Record("A", {}, rows, "r", False, {"best": 7.0}), Record("B", {}, [], "r", False, {})], "r")
    axes = picture.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A", "B", "best"]
    drawn = {(line.get_gid(), row) for line in axes.lines for row in line.get_ydata()}
    assert drawn == {("seed", 0), ("mean", 0), ("mean", 1)}
    assert axes.lines[1].get_xdata() == [3.0]
    assert [marks.get_gid() for marks in axes.collections] == ["band", "level"]


def test_what_does_not_learn_is_a_level():
    rows = [{"seed": 0, "step": step, "r": 1.0 * step} for step in (1, 2)]
    still = Record("still", {}, [{"seed": 0, "step": 0, "r": 1.5}], "r", False, {})
    picture = draw_metric([Record("A", {}, rows, "r", False, {}), still], "r")
    assert [1.5, 1.5] in [list(line.get_ydata()) for line in picture.axes[0].lines]


@pytest.mark.parametrize("scale", MDP_BUDGETS)
def test_minibatches_divide_the_trials_of_ppo(scale):
    for count, budgets in MDP_BUDGETS[scale].items():
        config = learner(mdp(count), budgets[ASSOCIATIVE], scale, ASSOCIATIVE)
        agent = config.acting().agent
        assert isinstance(agent, PPO)
        assert config.batch % agent.minibatches == 0


def test_what_was_chosen_is_what_candidates_differ_in():
    assert chosen_of(UCB1(0.3), [UCB1(0.1), UCB1(0.3)]) == "c = 0.3"
    assert chosen_of(UCB1(0.3), [UCB1(0.3)]) == ""
    tried = [Believing(BEB(scale), UNKNOWN) for scale in (0.1, 0.2)]
    assert chosen_of(tried[1], tried) == "scale = 0.2"


def test_updates_are_counted_until_a_level():
    rows = [
        {"seed": seed, "update": update, "step": update, "error": error}
        for seed, errors in enumerate(((3.0, 0.5, 2.0), (3.0, 2.0, 2.0)))
        for update, error in enumerate(errors, 1)
    ]
    assert updates_to(1.0, 10)(Record("r", {}, rows, "error", True, {}), "error") == {0: 20, 1: 30}
    assert below("error", 1.0)(rows) == {0}
    assert below("error", 2.5)(rows) == {0, 1}


def test_a_run_ends_when_all_its_seeds_are_there(tmp_path):
    """And goes on, and to the end, where they are not."""
    place = Place(tmp_path, 1, Counter, print, lambda pieces: pieces)
    config = Config("Recall(2)", "GRU(4)", "BPTT()", "adam(1e-3)", 2, 5, 100, seed=0, seeds=2, log_every=1)

    def measured(there):
        found = until("r", config.program, 5, config.record, there, 2).measure(place)
        return {row["update"] for row in found.rows}, found.note

    assert measured(lambda rows: {0, 1} if len(rows) >= 5 else {1}) == ({1, 2, 3, 4}, "")
    assert measured(lambda rows: {0, 1}) == ({1, 2, 3, 4}, "")
    assert measured(lambda rows: {1}) == ({1, 2, 3, 4, 5}, "1 of 2 seeds")


def test_what_is_no_item_is_refused():
    with pytest.raises(InputError, match="no paper 'uor'"):
        find("uor")
    with pytest.raises(InputError, match="no 'uoro/nothing'"):
        find("uoro/nothing")
    assert find("uoro")[1] == list(PAPERS["uoro"].ITEMS)


def test_the_last_steps_are_averaged():
    rows = [{"update": t, "step": 10 * t, "seed": seed, "loss": t + seed} for t in range(1, 11) for seed in (0, 5)]
    record = Record("", {}, rows, "loss", True, {})
    assert last_steps(30)(record, "loss") == {0: 9.0, 5: 14.0}
    assert last_steps(1000)(record, "loss") == {0: 5.5, 5: 10.5}


class TestSegments:
    """ARTBP with one update to each truncation."""

    def trial(self, longest=256, mean=16.0):
        task = InfluenceBalancing()
        learner = Learner(task, ARTBP(mean, 6.0), optax.sgd(0.0))
        return SegmentTrial(StreamTrial(learner, lambda key: task.system(), 1, longest))

    def test_lengths_have_the_mean_that_they_should(self):
        lengths = jax.vmap(lambda key: self.trial().segment(key)[0])(jax.random.split(jax.random.key(0), 20_000))
        deviation = float(lengths.std()) / np.sqrt(len(lengths))
        assert abs(float(lengths.mean()) - 16) < 4 * deviation

    def test_the_gradient_per_step_is_unbiased(self):
        """Against forward accumulation of ∂ℓ/∂θ over the same stream, at a θ that stays where it is."""
        trial = self.trial()

        @eqx.filter_jit
        def one(state, key):
            length, flow = trial.segment(key)
            gradient, _ = trial.gradient(state, length, flow)
            memory, sources = trial.after(state, length)
            state = eqx.tree_at(lambda state: (state.learning.carry.state, state.sources), state, (memory, sources))
            return state, gradient.theta, length

        state, gradients, lengths = trial.init(jax.random.key(0)), [], []
        for draw in range(1000):
            state, gradient, length = one(state, jax.random.fold_in(jax.random.key(1), draw))
            gradients.append(float(gradient))
            lengths.append(int(length))
        exact = truncated_gradients([sum(lengths)])
        ends = np.cumsum(lengths)
        late = ends > 400  # ∂s/∂θ has settled
        differences = np.array(gradients)[late] - np.add.reduceat(exact, np.r_[0, ends[:-1]])[late]
        bias = differences.sum()
        noise = differences.std() * np.sqrt(late.sum())
        assert abs(bias) < 4 * noise
        cut = (
            np.array(gradients)[late].sum() - np.add.reduceat(truncated_gradients(lengths), np.r_[0, ends[:-1]])[late].sum()
        )
        assert abs(cut) > 4 * noise


def truncated_gradients(lengths, theta=0.5):
    """∂ℓ_t/∂θ over the past since the last truncation, step by step; with one length for all, the exact one."""
    units, minus = 23, 13
    matrix = np.diag([0.5] * units) + np.diag([0.5] * (units - 1), 1)
    push = np.array([1.0] * (units - minus) + [-1.0] * minus)
    state, found = np.ones(units), []
    for length in lengths:
        tangent = np.zeros(units)
        for _ in range(length):
            state, tangent = matrix @ state + theta * push, matrix @ tangent + push
            found.append((state[0] - 1) * tangent[0])
    return np.array(found)
