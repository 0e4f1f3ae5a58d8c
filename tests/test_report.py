"""Reports: statistics over seeds against numbers worked by hand, and pages that show them, whatever the runs contain."""

import math
import re
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import matplotlib
import numpy as np
import pytest
from report_runs import HOSTILE, comparison, record, rows

from farback.reports.curves import POINTS, draw_metric, pen, printable
from farback.reports.figures import house_style
from farback.reports.numbers import duration, number
from farback.reports.page import write_page
from farback.reports.record import Series, finals, levels, metrics, rate, seconds, series, thin
from farback.reports.summary import band, interval, tail_mean
from farback.reports.svg import inline_svg
from farback.reports.tables import results_table
from farback.types import InputError

pytestmark = pytest.mark.slow


class Reader(HTMLParser):
    """The elements that a browser would find on a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def addresses(self):
        return [a[key] for _, a in self.tags for key in ("src", "href", "srcset", "data", "action", "poster") if key in a]


def write(records, folder):
    page, *_ = write_page(records, folder / "report.html")
    return page.read_text(encoding="utf-8")


# Statistics.


def test_the_interval_of_three_values_is_the_one_worked_by_hand():
    # A resample of (0, 0, 3) has the mean k with probability C(3, k) (1/3)^k (2/3)^(3-k): 8/27, 12/27, 6/27, 1/27.
    found = interval([0.0, 0.0, 3.0])
    assert (found.mean, found.low, found.high, found.count) == (1.0, 0.0, 3.0, 3)
    assert interval([0.0, 0.0, 3.0], confidence=0.9).high == 2.0  # P(mean <= 2) = 26/27 > 0.95 > 20/27


def test_the_interval_of_many_values_is_the_normal_one():
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = interval(values)
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def coverage(confidence):
    """How often the interval of 20 normal values covers their expectation, in 1,000 experiments."""
    found = band(np.random.default_rng(2).normal(size=(20, 1000)), confidence=confidence)
    return np.mean((found.low <= 0) & (found.high >= 0))


def test_the_interval_covers_the_mean_with_its_confidence():
    assert abs(coverage(0.95) - 0.95) < 0.04


def test_control_a_narrower_interval_covers_less():
    assert not abs(coverage(0.85) - 0.95) < 0.04


def test_a_band_is_the_interval_at_each_point():
    values = np.random.default_rng(3).normal(size=(6, 5))
    values[0, 1:3] = values[2, 2] = values[1:, 3] = values[:, 4] = np.nan
    found = band(values, draws=500, seed=7)
    for point, column in enumerate(values.T):
        one = interval(column, draws=500, seed=7)
        expected = [math.nan if value is None else value for value in (one.mean, one.low, one.high)]
        assert [part[point] for part in (found.mean, found.low, found.high)] == pytest.approx(expected, nan_ok=True)
    assert list(np.isnan(found.low)) == [False, False, False, True, True]
    assert list(np.isnan(found.mean)) == [False, False, False, False, True]


def test_seeds_without_a_result_are_left_out_and_counted_out():
    found = interval([1.0, math.nan, 2.0, math.inf, 3.0])
    assert (found.mean, found.count) == (2.0, 3)
    assert found.low is not None


@pytest.mark.parametrize(("values", "mean"), [([1.0, 3.0], 2.0), ([1.0], 1.0), ([1.0, math.nan, math.nan], 1.0)])
def test_too_few_seeds_have_no_interval(values, mean):
    found = interval(values)
    assert (found.mean, found.low, found.high) == (mean, None, None)


def test_an_interval_without_seeds_is_nan():
    for values in ([], [math.nan]):
        found = interval(values)
        assert math.isnan(found.mean)
        assert (found.low, found.count) == (None, 0)


def test_an_interval_is_deterministic_given_its_seed():
    values = np.random.default_rng(4).normal(size=9)
    assert interval(values) == interval(values)
    assert interval(values) != interval(values, seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"confidence": 95}, "0 < confidence < 1"), ({"confidence": 0}, "0 < confidence < 1"), ({"draws": 0}, "draws >= 1")],
)
def test_wrong_arguments_of_intervals_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        interval([1.0, 2.0, 3.0], **options)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (range(1, 31), 29.0),  # of 28, 29, 30
        (range(1, 32), 29.5),  # of 28, ..., 31: a tenth, rounded up
        ([1.0, 2.0], 2.0),
        ([0.0] * 10 + [math.nan] + [4.0] + [math.nan] * 8, math.nan),
        ([0.0] * 18 + [math.nan, 4.0], 4.0),
        ([], math.nan),
    ],
)
def test_the_mean_of_the_last_tenth(values, expected):
    assert tail_mean([float(value) for value in values]) == pytest.approx(expected, nan_ok=True)


# Rows.


def test_final_values_are_by_seed_and_by_step():
    lines = [{"update": k, "step": k, "seed": seed, "m": 100.0 * seed + k} for k in range(20, 0, -1) for seed in (3, 1)]
    assert finals(record(lines=lines), "m") == {1: 119.5, 3: 319.5}


def test_a_series_has_a_place_for_every_seed_and_step():
    lines = [
        {"update": 1, "step": 10, "seed": 0, "m": 1.0},
        {"update": 1, "step": 10, "seed": 4, "m": None},
        {"update": 2, "step": 20, "seed": 4, "m": 2.0},
        {"update": 3, "step": 30, "seed": 0, "m": None},
        {"update": 4, "step": 40, "seed": 0, "other": 5.0},
    ]
    steps, values = series(record(lines=lines), "m")
    assert list(steps) == [10, 20]
    np.testing.assert_array_equal(values, [[1, math.nan], [math.nan, 2]])


def test_a_thinned_curve_holds_the_means_of_groups():
    curve = Series(np.arange(10, 80, 10), np.array([[0, 2, 4, 6, math.nan, math.nan, 7.0]]))
    steps, values = thin(curve, 4)
    assert list(steps) == [20, 40, 60, 70]
    np.testing.assert_array_equal(values, [[1, 5, math.nan, 7]])
    assert thin(curve, 7) is curve


@pytest.mark.parametrize("count", [1, POINTS, POINTS + 1, 10 * POINTS + 7])
def test_a_thinned_curve_is_short_and_ends_where_it_ended(count):
    steps, values = thin(Series(np.arange(count), np.ones((2, count))), POINTS)
    assert len(steps) == values.shape[1] <= POINTS
    assert steps[-1] == count - 1


def test_the_rate_ignores_compilation_and_the_time_is_the_last():
    lines = [{"update": k, "step": k, "seed": 0, "charts/SPS": 100.0 if k else 1.0, "time/seconds": k} for k in range(9)]
    assert rate(record(lines=lines)) == 100.0
    assert seconds(record(lines=lines)) == 8.0
    assert rate(record(lines=[])) is seconds(record(lines=[])) is None


def test_metrics_are_criteria_then_the_rest_then_the_rate():
    assert metrics(comparison()) == ["losses/loss", "charts/accuracy", "charts/SPS"]
    lines = [{"update": 1, "step": 1, "seed": 0, "charts/SPS": 1.0, "none": None, "text": "x", "b": 1, "a": 2.0}]
    assert metrics([record(lines=lines, metric="a")]) == ["a", "b", "charts/SPS"]


def test_levels_that_differ_between_runs_name_them():
    runs = [record("x", levels={"optimum": 1.0, "best": 2.0}), record("y", levels={"optimum": 3.0, "best": 2.0})]
    found = levels([*runs, record("z", metric="charts/accuracy", levels={"best": 9.0})], "losses/loss")
    assert found == {"optimum (x)": 1.0, "best": 2.0, "optimum (y)": 3.0}


def test_numbers_and_durations_are_short():
    assert [number(x) for x in (0.05, 12.0, -0.123456, 1234.5, 41_000.4, 3e15, 0.0)] == [
        "0.05", "12", "-0.1235", "1,234", "41,000", "3e+15", "0"]  # fmt: skip
    assert [duration(x) for x in (0.25, 59.9, 123, 3600, 4_000_000)] == [
        "0.2 s", "59.9 s", "2 min 03 s", "1 h 00 min", "1,111 h 06 min"]  # fmt: skip


# The table.


def cells(records):
    """The texts of the cells of the results, one list per run."""
    table = results_table(records)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("<tbody>")[1].split("</tr>")[:-1]]


def test_the_table_has_the_statistics():
    lines = [
        {"update": 1, "step": 500, "seed": seed, "losses/loss": value, "charts/SPS": 2_000.0, "time/seconds": 75.0}
        for seed, value in enumerate((0.0, 0.0, 3.0))
    ]
    assert cells([record(lines=lines)]) == [[
        "1 <small>[0, 3]</small>", "0 <small>seed 0</small>", "3", "500", "2,000", "1 min 15 s",
    ]]  # fmt: skip
    assert cells([record(lines=lines, minimise=False)])[0][1] == "3 <small>seed 2</small>"


def test_seeds_without_a_value_are_counted():
    lines = [{"update": 1, "step": 1, "seed": seed, "losses/loss": value} for seed, value in enumerate((1.0, None, 3.0))]
    assert cells([record(lines=lines)])[0][0] == "2 <small>2 of 3 seeds</small>"


def test_a_missing_value_is_a_dash_that_sorts_last():
    empty, full = cells([record(lines=[]), record()])
    assert empty == ["–", "–", "–", "0", "0", "–", "–"]
    assert "–" not in full
    assert results_table([record(lines=[])]).count("data-value") == 2


# The page.


def test_the_page_has_curves_tables_and_pictures(tmp_path):
    written = write_page(comparison(), tmp_path / "report.html")
    assert [path.name for path in written] == ["report.html", "losses-loss.png", "charts-accuracy.png", "charts-SPS.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[1:])
    page = Reader(written[0].read_text(encoding="utf-8"))
    assert [len(page.all(tag)) for tag in ("h1", "table", "figure")] == [1, 2, 3]
    groups = [a["class"] for a in page.all("g") if "class" in a]
    assert groups.count("curve") == 3 + 2 + 3  # one run has no accuracy
    assert groups.count("band") == 2 + 1 + 2  # and one too few seeds
    assert groups.count("seed") == 2 * 3
    assert groups.count("level") == 2
    for text in ("optimum", "memoryless", "UORO()", "TBPTT(20)", "uoro"):
        assert text in page.texts
    assert sum("differs" in a.get("class", "") for a in page.all("tr")) == 2  # estimator and batch


def test_the_pictures_links_lead_to_them_whatever_the_page_is_called(tmp_path):
    out = tmp_path / "a #1 50% ?.html"
    page, *pictures = write_page([record()], out)
    links = [link["href"] for link in Reader(page.read_text(encoding="utf-8")).all("a")]
    assert [tmp_path / unquote(link) for link in links] == pictures


def test_metrics_of_like_names_have_pictures_of_their_own(tmp_path):
    names = ("a/b", "a-b", "/", "../../etc/passwd", "x" * 500)
    lines = [{"update": 1, "step": 1, "seed": 0} | dict.fromkeys(names, 1.0)]
    _, *pictures = write_page([record(lines=lines)], tmp_path / "report.html")
    assert len(set(pictures)) == len(names)
    assert {path.parent for path in pictures} == {tmp_path / "report-figures"}


def test_the_page_needs_no_network(tmp_path):
    page = write(comparison(), tmp_path)
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    for address in Reader(page).addresses() + re.findall(r"url\((.*?)\)", page):
        assert address.startswith(("#figure-", "report-figures/"))


def test_ids_are_unique_and_links_resolve(tmp_path):
    page = write(comparison(), tmp_path)
    ids = [a["id"] for _, a in Reader(page).tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"#(figure-[\w-]+)", page)) <= set(ids)


def test_control_the_same_name_for_two_figures_clashes():
    with house_style():
        figures = [inline_svg(draw_metric(comparison(), name), "figure", "", {}) for name in ("losses/loss", "charts/SPS")]
    ids = [a["id"] for _, a in Reader("".join(figures)).tags if "id" in a]
    assert len(ids) > len(set(ids))


def injected(page):
    """Whether a hostile name has added an element or a handler to a page."""
    found = Reader(page)
    handlers = [key for _, attributes in found.tags for key in attributes if key.startswith("on")]
    return len(found.all("script")) > 1 or bool(found.all("img")) or bool(handlers)


def test_names_and_settings_are_escaped(tmp_path):
    lines = [row | {HOSTILE: 1.0} for row in rows(3, 5)]
    hostile = record(HOSTILE, lines, config={HOSTILE: HOSTILE, "nested": {"a": [HOSTILE]}}, levels={HOSTILE: 0.1})
    page = write([hostile, record()], tmp_path)
    assert not injected(page)
    assert '<script>document.title = "taken"</script><img src=x onerror=alert(1)>' in "".join(Reader(page).texts)


def test_control_unescaped_text_is_found(tmp_path):
    assert injected(write([record()], tmp_path).replace("GRU(64)", HOSTILE))


def test_a_page_and_its_pictures_are_the_same_each_time(tmp_path):
    once = [path.read_bytes() for path in write_page(comparison(), tmp_path / "report.html")]
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.hashsalt": None}):
        again = [path.read_bytes() for path in write_page(comparison(), tmp_path / "report.html")]
        assert matplotlib.rcParams["font.size"] == 20
    assert once == again


def test_long_logs_make_small_pages(tmp_path):
    page = write([record(str(index), rows(10, 1000)) for index in range(2)], tmp_path)
    assert len(page) < 300_000
    points = max(path["d"].count("L") for path in Reader(page).all("path") if "d" in path)
    assert points <= 2 * (POINTS + 2)  # there and back again, along a band's edges


@pytest.mark.parametrize(
    "lines",
    [
        [],
        rows(1, 1),
        rows(5, 1),
        rows(1, 50),
        [row | {"losses/loss": None, "charts/accuracy": math.nan} for row in rows(3, 4)],
        [row for row in rows(4, 30) if row["seed"] * 10 < row["update"] / 10],  # seeds begin at different steps
        [row | {"losses/loss": 0.0} for row in rows(3, 4)],
        [row | {"losses/loss": 10.0 ** row["update"]} for row in rows(3, 20)],
        [row | {"losses/loss": -1e38 * row["step"]} for row in rows(3, 20)],
        [{"update": 1, "step": 1, "seed": 0}],
    ],
    ids=["none", "one", "one of each seed", "one seed", "nulls", "late", "zeros", "growth", "huge", "no metric"],
)
def test_any_log_makes_a_page(tmp_path, lines):
    page = write([record("odd", lines, config={}, levels={}), record("even")], tmp_path)
    assert 'class="curve"' in page
    assert ("No rows yet: odd." in page) == (not lines)


def test_a_page_of_no_rows_says_so(tmp_path):
    page = write([record("early", [])], tmp_path)
    assert "No rows yet: early." in page
    assert "There is nothing to draw yet." in page
    assert not (tmp_path / "report-figures").exists()


def test_a_metric_that_was_never_finite_has_a_figure():
    row = {"step": 10, "seed": 0, "losses/loss": float("nan")}
    with house_style():
        assert draw_metric([record("lost", [row])], "losses/loss").axes


def test_thirty_runs_can_be_told_apart():
    assert len({pen(index) for index in range(24)}) == 24
    assert pen(24) == pen(0)
    with house_style():
        assert len(draw_metric([record(str(index)) for index in range(30)], "losses/loss").axes[0].lines) == 32


@pytest.mark.parametrize(("last", "scale"), [(512, "log"), (400, "linear")])
def test_another_column_that_spans_powers_of_ten_has_a_logarithmic_axis(last, scale):
    sizes = [{"step": 10, "seed": 0, "units": units, "losses/loss": 1.0} for units in (4, 16, last)]
    with house_style():
        assert draw_metric([record("", sizes)], "losses/loss", "units").axes[0].get_xscale() == scale


@pytest.mark.parametrize(("last", "scale"), [(120_000, "log"), (9_000, "linear")])
def test_runs_of_very_different_lengths_have_a_logarithmic_axis(last, scale):
    runs = [[{"step": step, "seed": 0, "losses/loss": 1.0} for step in (end / 10, end)] for end in (1_000, last)]
    with house_style():
        assert draw_metric([record("", rows) for rows in runs], "losses/loss").axes[0].get_xscale() == scale


def test_names_in_figures_are_short_and_printable():
    assert printable("plain") == "plain"
    assert printable("a\x00\n\udcffb") == "a���b"
    assert len(printable("x" * 500)) <= 44


# What cannot be done.


def test_a_page_without_runs_is_refused(tmp_path):
    with pytest.raises(InputError, match="give one run directory"):
        write_page([], tmp_path / "report.html")


@pytest.mark.parametrize(("name", "message"), [("report.pdf", "ends in .html"), ("no/report.html", "make it first")])
def test_a_path_that_cannot_be_written_is_refused(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        write_page([record()], tmp_path / name)


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match="is not the name of a page"):
        write_page([record()], tmp_path / "report.html")


def test_an_old_page_stays_if_a_new_one_fails(tmp_path):
    (tmp_path / "report.html").write_text("old")
    (tmp_path / "report-figures").write_text("a file in the way")
    with pytest.raises(InputError, match=r"cannot be made.*exists"):
        write_page([record()], tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "old"


def test_an_incomplete_page_is_never_visible(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(InputError, match="No space left"):
        write_page([record("early", [])], tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"pip install 'farback\[plots\]'"):
        write_page([record()], tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []
