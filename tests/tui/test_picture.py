"""Charts as text: what is drawn, to the dot, and at any size."""

from __future__ import annotations

import math
from math import nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_tui.charts import plot as plot_module
from nanochat_tui.charts.canvas import CHARACTERS, Canvas
from nanochat_tui.charts.curve import Curve
from nanochat_tui.charts.picture import HOLE, draw
from nanochat_tui.charts.plot import Plot, _trace
from nanochat_tui.charts.series import Series
from nanochat_tui.charts.view import View


def series(values: list[float], every: int = 1) -> Series:
    made = Series()
    for number, value in enumerate(values, 1):
        made.put(number * every, number * every * 1000, number * every * 2.0, value)
    return made


DECAY = series([2.0 + 8.0 * math.exp(-i / 12) for i in range(100)])
EVALS = series([2.5 + 8.0 * math.exp(-i * 20 / 12) for i in range(1, 6)], every=20)

LOSS = """\
loss                                 train 2.002  held-out 2.502
10 ┤⣄
   │⠸⡄
   │ ⢳
 8 ┤ ⠈⢧
   │  ⠈⢧
 6 ┤   ⠈⢧⡀
   │     ⠳⣄
 4 ┤      ⠈⠧⣄⢀
   │        ⠈⠳⢤⣀⠒⠦⠤⣄⣀
   │           ⠈⠙⠒⠦⢤⣀⣀⣀⠒⠦⠤⠤⠤⠤⠤⠤⠤⢤⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀ held-out
 2 ┤                  ⠈⠉⠉⠉⠉⠓⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒ train
   └──────────┬─────────┬─────────┬──────────┬────────┬
             20        40        60         80       100    step"""


def test_a_chart() -> None:
    picture = draw([Curve(DECAY, "train"), Curve(EVALS, "held-out")], 64, 14, View(), title="loss")
    assert picture.text() == LOSS


GROWTH = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), st.integers(1, 700), st.floats(-5, 5) | st.just(nan)),
        st.tuples(st.just("rewind"), st.integers(0, 2000), st.just(0.0)),
        st.tuples(st.just("smooth"), st.sampled_from([0, 6]), st.just(0.0)),
        st.tuples(st.just("zoom"), st.integers(0, 900), st.just(0.0)),
        st.tuples(st.just("cursor"), st.integers(0, 900), st.just(0.0)),
        st.tuples(st.just("axis"), st.just(0), st.just(0.0)),
    ),
    min_size=2,
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(GROWTH, st.sampled_from([(40, 8), (64, 14), (20, 5)]))
def test_what_was_drawn_before_changes_nothing(growth: list[tuple[str, int, float]], size: tuple[int, int]) -> None:
    """A plot that drew the curves as they grew, and one that sees them for the first time, give one picture."""
    one, other, plot, view = Series(), Series(), Plot(), View()
    for kind, amount, level in growth:
        step = int(one.places["step"][-1]) if len(one) else 0
        if kind == "grow":
            for number in range(1, amount + 1):
                one.put(step + number, step + number, float(step + number), level + math.sin(number / 9))
            other.put(step + amount, step + amount, float(step + amount), level)
        elif kind == "rewind":
            one.rewind(amount)
            other.rewind(amount)
        elif kind == "smooth":
            view.smoothing = amount / 10
        elif kind == "zoom":
            view.zoom = (float(amount), amount + 300.0) if amount > 100 else None
        elif kind == "cursor":
            view.cursor = float(amount) if amount > 100 else None
        else:
            view.next_axis()
        curves = [Curve(one, "one"), Curve(other, "other", smooth=False)]
        kept = draw(curves, *size, view, title="t", plot=plot)
        assert kept == draw(curves, *size, view, title="t")


def test_points_that_change_no_dot_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(plot_module, "_trace", lambda *given: drawn.append(1) or _trace(*given))
    made, plot = series([math.sin(i / 500) for i in range(20_000)]), Plot()
    for step in range(20_001, 20_201):
        made.put(step, step, step, 0.5)
        draw([Curve(made, "train")], 60, 12, View(), title="t", plot=plot)
    assert len(drawn) < 10, "200 points are one or two columns of dots"


def test_a_canvas_sets_the_dots_it_is_told() -> None:
    canvas = Canvas(2, 1)
    canvas.vertical(0, 0, 3)
    canvas.vertical(1, 1, 1)
    canvas.vertical(3, -5, 0)
    assert [CHARACTERS[dots] for dots in canvas.rows()[0]] == ["⡗", "⠈"]


@settings(max_examples=60)
@given(
    st.lists(st.floats(-1e300, 1e300) | st.sampled_from([nan, math.inf, -math.inf, 0.0]), max_size=50),
    st.integers(0, 70),
    st.integers(0, 20),
    st.booleans(),
    st.sampled_from(["step", "tokens", "time"]),
    st.sampled_from([0.0, 0.9]),
    st.none() | st.floats(-10, 1e5),
    st.none() | st.tuples(st.floats(-10, 60), st.floats(0.001, 60)).map(lambda p: (p[0], p[0] + p[1])),
)
def test_every_size_and_every_view_fill_the_place_they_are_given(
    values: list[float],
    width: int,
    height: int,
    log: bool,
    axis: str,
    factor: float,
    cursor: float | None,
    zoom: object,
) -> None:
    view = View(axis, factor, zoom, cursor)  # type: ignore[arg-type]
    picture = draw([Curve(series(values), "a"), Curve(EVALS, "b")], width, height, view, title="title", log=log)
    assert len(picture.rows) == height
    assert all(sum(len(text) for text, _ in row) <= width for row in picture.rows)


@settings(max_examples=40)
@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=300), st.booleans())
def test_the_greatest_and_the_least_value_are_drawn(values: list[float], log: bool) -> None:
    """Nothing is lost to drawing fewer columns than points: the picture of the extremes alone has the same outline."""
    tall = draw([Curve(series(values), "a")], 20, 5, View(), title="", log=log).text().splitlines()[1:]
    rows = [number for number, row in enumerate(tall) if row.strip()]
    if max(values) > min(values) * 1.5:
        assert rows[0] == 0
        assert rows[-1] == 3


def test_a_hole_breaks_the_line_and_is_marked() -> None:
    values = [1.0] * 10 + [nan] * 10 + [1.0] * 10
    text = draw([Curve(series(values), "a")], 44, 9, View(), title="a").text()
    (line,) = [row.partition("┤")[2] for row in text.splitlines()[1:] if any(c > "\u2800" for c in row)]
    axis = text.splitlines()[-2]
    assert len(line.split()) == 2
    assert axis.count(HOLE) >= 10
    assert axis[:8].count(HOLE) == 0
    small = draw([Curve(series(values), "a")], 20, 4, View(), title="a").text()
    assert HOLE in small.splitlines()[-1]


def test_one_hole_among_very_many_points_is_marked() -> None:
    values = [1.0 + i % 7 for i in range(20_000)]
    values[12_345] = nan
    assert draw([Curve(series(values), "a")], 60, 10, View(), title="a").text().count(HOLE) == 1


def test_the_cursor_shows_the_values_there() -> None:
    picture = draw([Curve(DECAY, "train"), Curve(EVALS, "held-out")], 64, 14, View(cursor=40), title="loss")
    assert picture.rows[0][-3:] == [("  step 40", "note"), ("  train 2.31", "line.0"), ("  held-out 2.785", "line.1")]
    cells = [x for x in range(64) if (place := picture.place(x)) is not None and abs(place - 40) < 1.1]
    assert any(row[x] == "│" for row in picture.text().splitlines()[2:5] for x in cells if x < len(row))


def test_at_the_cursor_of_a_narrow_chart_are_the_values_alone() -> None:
    curves = [Curve(DECAY, "train"), Curve(EVALS, "held-out")]
    heading = draw(curves, 34, 10, View(cursor=40), title="loss  nats/token").rows[0]
    assert heading[-2:] == [("  2.31", "line.0"), ("  2.785", "line.1")] and "step" not in str(heading)


def test_zoom_shows_less_and_keeps_the_line_that_comes_in_from_the_left() -> None:
    straight = series([float(number % 2) for number in range(5)], every=20)
    picture = draw([Curve(straight, "b")], 50, 10, View(zoom=(50, 90)), title="b")
    first = picture.left
    assert any(row[first] not in " │" for row in (line.ljust(50) for line in picture.text().splitlines()[1:-2]))
    assert "60" in picture.text().splitlines()[-1]
    assert "20" not in picture.text().splitlines()[-1]


def test_a_log_axis_leaves_out_what_is_not_positive() -> None:
    text = draw([Curve(series([0.0, 0.001, 0.1, 10.0, -5.0]), "a")], 50, 12, View(), title="a", log=True).text()
    assert all(label in text for label in ("0.01 ┤", " 1 ┤"))
    assert "-5 ┤" not in text


def test_raw_values_stand_behind_smoothed_ones_unless_the_curve_is_not_to_be_smoothed() -> None:
    noisy = series([float(i % 2) for i in range(200)])
    roles = {role for row in draw([Curve(noisy, "a")], 60, 12, View(smoothing=0.97), title="a").rows for _, role in row}
    assert {"line.0", "faint.0"} <= roles
    plain = draw([Curve(noisy, "a", smooth=False)], 60, 12, View(smoothing=0.97), title="a")
    assert plain.text() == draw([Curve(noisy, "a")], 60, 12, View(), title="a").text()


@pytest.mark.parametrize(
    ("values", "label"), [([5.0], "5.0"), ([3.0] * 50, "3.0"), ([0.0, 0.0], "0"), ([-2.0, 2.0], "-2")]
)
def test_one_point_and_constants_have_a_scale(values: list[float], label: str) -> None:
    text = draw([Curve(series(values), "a")], 50, 12, View(), title="a").text()
    assert f"{label} ┤" in text


def test_a_view_zooms_around_its_cursor_and_comes_back() -> None:
    view = View(cursor=25.0)
    view.scale(0.5, (0.0, 100.0))
    assert view.zoom == (12.5, 62.5)
    view.move(0.9, (0.0, 100.0))
    assert view.cursor == 70.0
    assert view.zoom == (20.0, 70.0)
    for _ in range(3):
        view.scale(2.0, (0.0, 100.0))
    assert view.zoom is None
    view.next_axis()
    assert (view.axis, view.cursor) == ("tokens", None)
    for _ in range(200):
        view.scale(0.5, (0.0, 100.0))
    assert view.zoom is not None and view.zoom[1] > view.zoom[0]


def test_lines_are_told_apart_without_colours_also_in_a_narrow_chart() -> None:
    text = draw([Curve(DECAY, "train"), Curve(EVALS, "held-out")], 42, 8, View(), title="loss  nats/token").text()
    assert text.splitlines()[0].endswith("2.002  2.502")
    assert [line.split()[-1] for line in text.splitlines()[4:6]] == ["held-out", "train"], (
        "in the order of the lines' ends"
    )


@given(st.lists(st.integers(1, 99), min_size=7, max_size=7), st.integers(10, 14))
def test_every_line_has_its_label_in_order(ends: list[int], height: int) -> None:
    curves = [Curve(series([50.0, float(end)]), f"c{number}") for number, end in enumerate(ends)]
    rows = draw(curves, 60, height, View(), title="").rows[1:-2]
    labels = [text.strip() for row in rows for text, _ in row if text.strip().startswith("c")]
    assert len(set(labels)) == 7
    assert [ends[int(label[1:])] for label in labels] == sorted(ends, reverse=True)


def test_values_that_do_not_fit_go_from_the_end() -> None:
    title = "a title that takes most of the room"
    assert draw([Curve(DECAY, "train"), Curve(EVALS, "b")], 44, 2, View(), title=title).rows[0][-1] == (
        "  2.002",
        "line.0",
    )


def test_no_spike_is_lost_where_columns_are_groups() -> None:
    """A hundred thousand points in fifty cells: each of some spikes, wherever it lies, reaches the top of the chart."""
    for place in (0, 15, 16, 999, 50_001, 99_984, 99_999):
        one = Series()
        for step in range(100_000):
            one.put(step, step, step, 100.0 if step == place else 1.0)
        top = draw([Curve(one, "a")], 60, 12, View(), title="x").text().splitlines()[1]
        assert any("⠀" < sign <= "⣿" for sign in top), place
