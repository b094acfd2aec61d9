"""Drawings are whole XML, stay inside their box, and say in words what they show."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.report.curves import Chart, Series
from nanochat_framework.report.svg import BOTTOM, HEIGHT, LEFT, LINE_HEIGHT, RIGHT, TOP, WIDTH, draw, nice_ticks

VALUES = st.one_of(st.floats(-1e9, 1e9), st.just(math.nan), st.just(math.inf), st.just(0.0))
SERIES = st.builds(
    lambda name, ys, faint, dots: Series(name, tuple((float(x), y) for x, y in enumerate(ys)), faint, dots),
    st.text(max_size=20),
    st.lists(VALUES, max_size=40),
    st.booleans(),
    st.booleans(),
)
CHARTS = st.builds(
    Chart,
    st.text(max_size=20),
    st.text(max_size=10),
    st.lists(SERIES, max_size=6).map(tuple),
    st.dictionaries(st.text(max_size=8), st.floats(0, 100), max_size=3),
    logarithmic=st.booleans(),
    from_zero=st.booleans(),
    steps=st.tuples(st.floats(0, 10), st.floats(20, 100)),
    style=st.sampled_from(["lines", "bundle"]),
)


@given(CHARTS, st.lists(st.floats(0, 100), max_size=3))
def test_any_chart_is_xml_and_stays_in_its_box(chart: Chart, marks: list[float]) -> None:
    drawing = draw(chart, "a", marks)
    if not drawing:
        assert not any(series.finite for series in chart.series)
        return
    root = ElementTree.fromstring(drawing)
    assert root.get("role") == "img"
    assert [child.tag for child in root[:2]] == ["title", "desc"]
    assert root.get("aria-labelledby") == f"{root[0].get('id')} {root[1].get('id')}"
    for path in root.iter("path"):
        for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d") or ""):
            assert LEFT <= float(x) <= WIDTH - RIGHT
            assert TOP <= float(y) <= HEIGHT - BOTTOM


@given(CHARTS)
def test_labels_do_not_overlap(chart: Chart) -> None:
    drawing = draw(chart, "a")
    labels = [] if not drawing else ElementTree.fromstring(drawing).findall("text")
    places = [float(label.get("y") or 0) for label in labels if "label" in (label.get("class") or "")]
    assert all(below - above >= LINE_HEIGHT - 0.11 for above, below in pairwise(places))


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_round_and_inside(low: float, span: float) -> None:
    high = low + span
    if not high - low > abs(low) * 1e-9:
        return
    ticks = nice_ticks(low, high)
    slack = (high - low) * 1e-6
    assert 1 <= len(ticks) <= 7
    assert all(low - slack <= tick <= high + slack for tick in ticks)


def test_lines_break_where_there_is_no_number() -> None:
    points = ((1.0, 1.0), (2.0, 2.0), (3.0, math.nan), (4.0, 3.0), (5.0, 1.0), (6.0, math.nan), (7.0, 2.0))
    root = ElementTree.fromstring(draw(Chart("Loss", "", (Series("a", points),), steps=(0, 8)), "a"))
    (path,) = root.iter("path")
    assert (path.get("d") or "").count("M") == 3
    assert len(list(root.iter("circle"))) == 1, "a point alone is a dot"


def test_the_description_has_the_numbers() -> None:
    chart = Chart(
        "Loss", "nats", (Series("held-out", ((10.0, 5.0), (20.0, 2.5)), dots=True),), {"xz": 1.5}, steps=(0, 20)
    )
    root = ElementTree.fromstring(draw(chart, "a"))
    assert root[1].text == (
        "Loss (nats) by step. held-out: from 5.00 at step 10 to 2.50 at step 20, between 2.50 and 5.00; xz needs 1.50."
    )
