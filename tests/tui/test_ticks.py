"""Marks of an axis."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nanochat_tui.charts import ticks

ENDS = (
    st.tuples(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12))
    .map(lambda p: (p[0], p[0] + p[1]))
    .filter(lambda p: p[1] > p[0])
)


@given(ENDS, st.integers(2, 12))
@example((5e-307, 2.0), 2)
def test_few_round_places_within_the_axis(ends: tuple[float, float], count: int) -> None:
    low, high = ends
    room = (high - low) * 1e-6 + 1e-6 * abs(high)
    for found in (ticks.linear(low, high, count), ticks.times(abs(low), abs(low) + high - low, count)):
        assert len(found) <= count
        places = [place for place, _ in found]
        assert places == sorted(set(places))
    assert all(low - room <= place <= high + room for place, _ in ticks.linear(low, high, count))


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 10, ["0", "2", "4", "6", "8", "10"]),
        (1.95, 3.1, ["2.0", "2.2", "2.4", "2.6", "2.8", "3.0"]),
        (0, 52000, ["0", "10k", "20k", "30k", "40k", "50k"]),
        (1e6, 1.6e6, ["1.0M", "1.1M", "1.2M", "1.3M", "1.4M", "1.5M", "1.6M"]),
        (0, 3.2e-4, ["0", "5e-5", "1e-4", "1.5e-4", "2e-4"]),
    ],
)
def test_labels(low: float, high: float, labels: list[str]) -> None:
    assert [label for _, label in ticks.linear(low, high, 7)][: len(labels)] == labels


def test_logarithmic_places() -> None:
    assert [label for _, label in ticks.logarithmic(1.9, 12, 6)] == ["2", "5", "10"]
    assert [label for _, label in ticks.logarithmic(1e-4, 1, 6)] == ["1e-4", "0.001", "0.01", "0.1", "1"]
    assert ticks.logarithmic(2.1, 2.4, 4) == ticks.linear(2.1, 2.4, 4)
    assert ticks.logarithmic(0, 1, 4) == []


@given(st.floats(1e-12, 1e11), st.floats(1.01, 1e12), st.integers(2, 9))
def test_logarithmic_places_are_few_and_within(low: float, factor: float, count: int) -> None:
    found = ticks.logarithmic(low, low * factor, count)
    assert len(found) <= count
    assert all(low * 0.999 <= place <= low * factor * 1.001 for place, _ in found)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2.34567, "2.346"), (12345, "12.35k"), (999.99, "1k"), (1e9, "1G"), (3e-4, "3e-4"), (math.nan, "NaN"),
     (-math.inf, "-∞"), (999960.0, "1M"), (-0.5, "-0.5")],
)  # fmt: skip
def test_short_numbers(value: float, text: str) -> None:
    assert ticks.short(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.6, "1m"), (300, "5m"), (9000, "2h30m"), (3 * 86400 + 7200, "3d2h"), (math.inf, "-")],
)
def test_durations(seconds: float, text: str) -> None:
    assert ticks.duration(seconds) == text
