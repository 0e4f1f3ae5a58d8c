"""Each item of a paper runs, resumes, and sets the paper's numbers beside ours."""

import json
import math

import equinox as eqx
import jax
import numpy as np
import optax
import pytest

from farback import InputError, SegmentwiseARTBP, configure
from farback.cli.reproduce import find, write_page
from farback.estimators import ARTBP
from farback.papers import PAPERS
from farback.papers.engine import runs
from farback.papers.engine.finals import below, last_steps, steps_to, updates_below
from farback.papers.engine.item import SCALES, Place, directory_name
from farback.papers.engine.page import page, section, table
from farback.papers.engine.reproduce import reproduce
from farback.papers.engine.runs import Training, configured, evaluation, log_until
from farback.papers.memup.limits import WAYS, config_of
from farback.papers.rl2 import MDP_BUDGETS, ppo
from farback.papers.rl2.acting import ImitationPolicy, shares
from farback.papers.rl2.learnt import ASSOCIATIVE, learner
from farback.papers.rl2.worlds import WATCHED, bandit, contestant, mdp
from farback.papers.uoro.streams import SYSTEM, system
from farback.reports.curves import draw_metric
from farback.reports.dots import draw_dots
from farback.reports.ends import draw_ends
from farback.reports.numbers import number
from farback.reports.record import Record
from farback.runs.listener import AbstractListener

UNTRAINED = {"uoro/variance-width", "memup/cost", "memup/longest", "worlds/views"}
ITEMS = {item.name: (paper, item) for paper, module in PAPERS.items() for item in module.ITEMS}


@pytest.fixture(autouse=True)
def _as_it_is_run():
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


class Counter(AbstractListener):
    """Counts updates."""

    def __init__(self):
        self.count = 0

    def begin(self, program, update, updates):
        self.done = update

    def progress(self, update, rows):
        self.count += update - self.done
        self.done = update

    def end(self):
        pass


RUN = (
    *("uoro/influence", "artbp/influence", "chrono/copy", "online/brackets", "recurrent-pg/immediate", "rl2/bandits"),
    *("uoro/variance-width", "memup/ablation", "memup/longest", "memory-states/crossing-time", "off-policy/quantiles"),
    *("dau/policies", "worlds/views", "rl2/navigation"),
)
"""At least one item of each paper."""


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_item_runs_once(name, tmp_path):
    """The items that share its runs run too."""
    for other, (_, item) in ITEMS.items():
        if name in (other, item.runs):
            runs_once(other, tmp_path)


class BuiltError(Exception):
    """The program of a case was made."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (_, item) in ITEMS.items() if name not in RUN and not item.runs])
@pytest.mark.parametrize("scale", ["smoke", "laptop"])
def test_item_builds_its_program(name, scale, tmp_path, monkeypatch):
    """The program of the first case is traced, but not compiled. A case without a program is reached."""

    def stop(*_):
        raise BuiltError

    monkeypatch.setattr(Training, "advance", lambda training, *_: stop(training.program(1)))
    monkeypatch.setattr(runs, "kept", stop)
    case = ITEMS[name][1].cases(scale)[0]
    with pytest.raises(BuiltError):
        case.measure(Place(tmp_path, lambda title: Counter()))


def runs_once(name, directory):
    paper, item = ITEMS[name]
    first, second = Counter(), Counter()
    result = reproduce(item, "smoke", Place(directory, lambda title: first))
    again = reproduce(item, "smoke", Place(directory, lambda title: second))
    assert item.runs or (first.count == 0) == (name in UNTRAINED)
    assert second.count == 0
    assert [line["ours"] for line in again["lines"]] == [line["ours"] for line in result["lines"]]
    assert item.runs or all(line["ours"]["mean"] is not None or line["ended"] for line in result["lines"])
    home = directory / name / "smoke"
    assert json.loads((home / "result.json").read_text())["lines"] == again["lines"]
    assert (home / "figure.png").read_bytes().startswith(b"\x89PNG")
    written = section(paper, result)
    assert item.title in written
    assert f"farback reproduce {name} --scale smoke" in written


@pytest.mark.parametrize("name", ITEMS)
@pytest.mark.parametrize("scale", ["laptop", "paper"])
def test_table_has_every_claim(name, scale):
    _, item = ITEMS[name]
    cases = item.cases(scale)
    assert len({directory_name(case.name) for case in cases}) == len(cases)
    lines = [result_line("", 1.0, claimed=case.claimed) for case in cases]
    columns, rows = table({"across": False, "unit": item.metric.unit, "lines": lines})
    if any(case.claimed for case in cases):
        assert columns[1].startswith("paper")
        assert [row[1] for row in rows] == ["" if case.claimed is None else number(case.claimed) for case in cases]
    else:
        assert columns[1].startswith("ours")


@pytest.mark.parametrize("name", ITEMS)
def test_settings_have_a_value_at_every_scale(name):
    _, item = ITEMS[name]
    assert all(len(values) == len(SCALES) for values in item.settings.values())
    assert item.minutes[0] <= item.minutes[1] <= item.minutes[2]
    if item.runs:
        assert item.runs in ITEMS
        own, shared = (
            {case.name.rpartition(": ")[2] for case in ITEMS[one][1].cases("laptop")} for one in (name, item.runs)
        )
        assert own & shared


def result_line(name, mean, low=None, high=None, claimed=None, note="", count=1):
    ours = {"mean": mean, "low": low, "high": high, "count": count}
    line = {"name": name, "ours": ours, "claimed": claimed, "ended": "", "note": note}
    return line | {"by_seed": {"0": mean}, "steps": 1, "steps_per_second": None}


def test_table_counts_the_seeds_with_a_result():
    def seeds(count):
        line = result_line("A", 1.0, count=count) | {"by_seed": {"0": 1.0, "1": 1.0, "2": None}}
        return table({"across": False, "unit": "steps", "lines": [line]})[1][0][2]

    assert seeds(3) == "3"
    assert seeds(2) == "2 of 3"


def test_table_across_has_columns_and_rows():
    lines = [result_line("10: A", 2.0, 1.9, 2.3, 2.5), result_line("10: B", 1.0, note="c = 3"), result_line("25: A", 4.0)]
    result = {"across": True, "unit": "reward", "lines": lines}
    assert table(result) == (("", "10", "25"), [("A", "2 ± 0.2 (2.5)", "4"), ("B", "1", "")])
    about = {"item": "p/i", "title": "T", "shows": "S", "levels": {}, "command": "c", "machine": "m", "date": "d"}
    assert "| notes | 10 | 25 |\n| --- | --- | --- |\n| B | c = 3 |  |\n" in section("p", result | about)


def test_page_keeps_sections_that_were_not_run_again():
    titles = ["One", "Two", "Three"]
    first = page("Paper", titles, {"Three": "## Three\n\nold\n", "One": "## One\n\nold\n"})
    assert first == "# Paper\n\n## One\n\nold\n\n## Three\n\nold\n"
    assert page("Paper", titles, {}, first) == first
    second = page("Paper", titles, {"Two": "## Two\n\nnew\n", "Three": "## Three\n\nnew\n"}, first)
    assert second == "# Paper\n\n## One\n\nold\n\n## Two\n\nnew\n\n## Three\n\nnew\n"
    assert page("Paper", titles[1:], {}, second) == "# Paper\n\n## Two\n\nnew\n\n## Three\n\nnew\n"


def test_page_is_written_with_its_figures(tmp_path):
    place = Place(tmp_path / "runs", lambda title: Counter())
    reproduce(ITEMS["uoro/influence"][1], "smoke", place)
    write_page("uoro", "smoke", place.home, tmp_path / "pages")
    assert "## Influence balancing (fig. 3.2a)" in (tmp_path / "pages/uoro.md").read_text()
    assert (tmp_path / "pages/uoro/influence.png").exists()


def test_dots_are_relative_to_the_best():
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


def test_record_without_learning_is_drawn_as_a_level():
    rows = [{"seed": 0, "step": step, "r": 1.0 * step} for step in (1, 2)]
    still = Record("still", {}, [{"seed": 0, "step": 0, "r": 1.5}], "r", False, {})
    picture = draw_metric([Record("A", {}, rows, "r", False, {}), still], "r")
    assert [1.5, 1.5] in [list(line.get_ydata()) for line in picture.axes[0].lines]


@pytest.mark.parametrize("way", WAYS)
def test_longest_way_has_a_window_of_an_episode_or_its_own(way):
    window = WAYS[way]["window"]
    assert config_of(way, 16, 2).arguments["window"] == (window or (27 if "env" in WAYS[way] else 26))


@pytest.mark.parametrize("scale", range(len(SCALES)))
def test_minibatches_of_ppo_divide_the_trials(scale):
    for count, budgets in MDP_BUDGETS[scale].items():
        algorithm = learner(ppo, mdp(count), budgets[ASSOCIATIVE], ASSOCIATIVE).program(1).algorithm
        assert algorithm.num_envs % algorithm.minibatches == 0


@pytest.mark.parametrize(
    ("text", "values", "note"), [("Gittins(gamma={})", (0.1, 0.98), "gamma = 0.98"), ("Thompson()", (), "")]
)
def test_contestant_notes_the_value_that_it_selects(text, values, note, tmp_path):
    measured = contestant(bandit((100, 5)), "A", text, values, WATCHED[0]).measure(Place(tmp_path, lambda title: Counter()))
    assert measured.note == note
    assert len(measured.rows) == WATCHED[0].groups


def test_shares_count_arms_by_their_means():
    means = jax.numpy.array([[0.1, 0.9, 0.5], [0.7, 0.2, 0.6]])
    action = jax.numpy.array([[1, 2], [0, 1]])
    assert shares(means, action).tolist() == [[1.0, 0.0], [0.0, 0.5], [0.0, 0.5]]


def test_imitation_policy_acts_by_the_logits():
    config = configure("supervised", task="Imitation(Bandit(5), Gittins(0.98), 10, none=False)", cell="GRU(4)")
    supervised = config.build()
    network = supervised.network(supervised.task, key=jax.random.key(0))
    certain = eqx.tree_at(lambda network: network.head.bias, network, jax.numpy.array([0.0, 0, 0, 1e6, 0]))
    env = supervised.task.shown
    policy = ImitationPolicy(certain, env)
    observation = env.observe(env.reset(jax.random.key(1)))
    _, action, _ = policy(policy.initial(), observation, jax.numpy.array(True), jax.random.key(2))
    assert action == 3


def test_updates_are_counted_until_a_level():
    rows = [
        {"seed": seed, "update": update, "step": update, "error": error}
        for seed, errors in enumerate(((3.0, 0.5, 2.0), (3.0, 2.0, 2.0)))
        for update, error in enumerate(errors, 1)
    ]
    assert updates_below(1.0, 10)(Record("r", {}, rows, "error", True, {}), "error") == {0: 20, 1: 30}
    assert below("error", 1.0)(rows) == {0}
    assert below("error", 2.5)(rows) == {0, 1}


def test_steps_are_counted_until_five_rows_exceed_a_level():
    rows = [
        {"seed": seed, "step": step, "r": float(step * scale), "charts/episodic_length": float(step)}
        for seed, scale in enumerate((1, 0))
        for step in range(1, 11)
    ]
    record = Record("r", {}, rows, "r", False, {})
    found = steps_to(lambda name: 5.5)(record, "r")
    assert found[0] == 8  # the mean of 4 to 8 is 6
    assert math.isnan(found[1])
    assert steps_to(lambda name: 5.5, lambda name: 6.0)(record, "r")[0] == 10


def test_run_ends_when_all_seeds_have_reached_the_goal(tmp_path):
    """It resumes until the seeds reach the goal, or to the end."""
    place = Place(tmp_path, lambda title: Counter())
    words = {"task": "Recall(2)", "cell": "GRU(4)", "optimizer": "adam(1e-3)", "batch_size": 2, "window": 5, "seeds": 2}
    training = configured("supervised", 5, **words, log_every=1)

    def measured(reached):
        found = log_until(training, reached, 2)(place)
        return {row["update"] for row in found.rows}, found.note

    assert measured(lambda rows: {0, 1} if len(rows) >= 5 else {1}) == ({1, 2, 3, 4}, "")
    assert measured(lambda rows: {0, 1}) == ({1, 2, 3, 4}, "")
    assert measured(lambda rows: {1}) == ({1, 2, 3, 4, 5}, "1 of 2 seeds")


def test_evaluation_of_another_training_is_refused(tmp_path):
    """A stored evaluation is read again only by the training that it is of, and at the same update."""
    place, calls = Place(tmp_path, lambda title: Counter()), []
    words = {"task": "Recall(2)", "cell": "GRU(4)", "batch_size": 2, "window": 5, "log_every": 1}

    def evaluated(updates, rate):
        measure = evaluation(configured("supervised", updates, **words, optimizer=f"adam({rate})"), found)
        return [row["update"] for row in measure(place).rows]

    def found(run):
        calls.append(run)
        return [{"update": run.facts["update"], "seed": 0}]

    assert [evaluated(2, 1e-3), evaluated(2, 1e-3), evaluated(3, 1e-3)] == [[2], [2], [3]]
    assert len(calls) == 2
    with pytest.raises(InputError, match="was made with optimizer"):
        evaluated(3, 1e-2)


def test_name_of_no_item_is_refused():
    with pytest.raises(InputError, match="no paper 'uor'"):
        find("uor")
    with pytest.raises(InputError, match="no 'uoro/nothing'"):
        find("uoro/nothing")
    assert find("uoro")[1] == list(PAPERS["uoro"].ITEMS)


def test_last_steps_are_averaged():
    rows = [{"update": t, "step": 10 * t, "seed": seed, "loss": t + seed} for t in range(1, 11) for seed in (0, 5)]
    record = Record("", {}, rows, "loss", True, {})
    assert last_steps(30)(record, "loss") == {0: 9.0, 5: 14.0}
    assert last_steps(1000)(record, "loss") == {0: 5.5, 5: 10.5}


class TestSegments:
    """ARTBP with one update at each truncation."""

    def algorithm(self, longest=256, mean=16.0):
        return SegmentwiseARTBP(SYSTEM, system, ARTBP(mean, 6.0), optax.sgd(0.0), 1, longest)

    def test_segment_lengths_have_their_mean(self):
        lengths = jax.vmap(lambda key: self.algorithm().segment(key)[0])(jax.random.split(jax.random.key(0), 20_000))
        deviation = float(lengths.std()) / np.sqrt(len(lengths))
        assert abs(float(lengths.mean()) - 16) < 4 * deviation

    @pytest.mark.slow
    def test_segment_gradient_is_unbiased(self):
        """The reference is forward accumulation of ∂ℓ/∂θ over the same stream, at a constant θ."""
        algorithm = self.algorithm()

        @eqx.filter_jit
        def one(state, key):
            length, flow = algorithm.segment(key)
            gradient, _ = algorithm.gradient(state, length, flow)
            memory, sources = algorithm.after(state, length)
            state = eqx.tree_at(lambda state: (state.carry.state, state.sources), state, (memory, sources))
            return state, gradient.memory.theta, length

        state, gradients, lengths = algorithm.init(jax.random.key(0)), [], []
        for draw in range(1000):
            state, gradient, length = one(state, jax.random.fold_in(jax.random.key(1), draw))
            gradients.append(float(gradient))
            lengths.append(int(length))
        exact = truncated_gradients([sum(lengths)])
        ends = np.cumsum(lengths)
        late = ends > 400  # ∂s/∂θ has settled
        starts = np.r_[0, ends[:-1]]
        differences = np.array(gradients)[late] - np.add.reduceat(exact, starts)[late]
        noise = differences.std() * np.sqrt(late.sum())
        assert abs(differences.sum()) < 4 * noise
        cut = np.array(gradients)[late].sum() - np.add.reduceat(truncated_gradients(lengths), starts)[late].sum()
        assert abs(cut) > 4 * noise


def truncated_gradients(lengths, theta=0.5):
    """∂ℓ_t/∂θ over the past since the last truncation, step by step; with a single length, the exact gradient."""
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
