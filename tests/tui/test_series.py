"""Points of a metric: places on three axes, rewinding, smoothing."""

from __future__ import annotations

from math import inf, isfinite, isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_tui.charts.series import AXES, Series

FACTORS = st.sampled_from([0.3, 0.6, 0.9, 0.99, 0.999])


def series(values: list[float]) -> Series:
    made = Series()
    for step, value in enumerate(values, 1):
        made.put(step, step * 64, step * 0.5, value)
    return made


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 40), st.floats(-9, 9)), max_size=60))
def test_any_order_of_steps_gives_the_last_value_of_each(points: list[tuple[int, float]]) -> None:
    made = Series()
    for step, value in points:
        made.put(step, step, step, value)
    expected = dict(sorted(dict(points).items()))
    assert list(made.places["step"]) == list(expected)
    assert list(made.values.values) == list(expected.values())
    assert all(len(made.places[axis]) == len(expected) for axis in AXES)


@settings(max_examples=50)
@given(FACTORS, st.floats(-1e6, 1e6), st.integers(1, 300))
def test_a_constant_stays_what_it_is(factor: float, value: float, count: int) -> None:
    assert set(series([value] * count).smoothed(factor).values) == {value}


@settings(max_examples=50)
@given(FACTORS, st.lists(st.floats(-1e3, 1e3) | st.sampled_from([nan, inf]), min_size=1, max_size=80))
def test_smoothing_is_the_weighted_mean_of_all_values_so_far(factor: float, values: list[float]) -> None:
    smoothed = series(values).smoothed(factor).values
    assert len(smoothed) == len(values)
    for end, value in enumerate(values):
        if not isfinite(value):
            assert isnan(smoothed[end])
            continue
        finite = [v for v in values[: end + 1] if isfinite(v)]
        weights = [factor ** (len(finite) - 1 - i) for i in range(len(finite))]
        mean = sum(w * v for w, v in zip(weights, finite, strict=True)) / sum(weights)
        assert smoothed[end] == pytest.approx(mean, rel=1e-6, abs=1e-6)


@settings(max_examples=50)
@given(FACTORS, st.lists(st.floats(-9, 9), min_size=2, max_size=50), st.integers(0, 50))
def test_smoothing_grows_as_it_would_have_been_made(factor: float, values: list[float], cut: int) -> None:
    grown = series(values[: len(values) // 2])
    grown.smoothed(factor)
    for step, value in enumerate(values[len(values) // 2 :], len(values) // 2 + 1):
        grown.put(step, step * 64, step * 0.5, value)
    assert list(grown.smoothed(factor).values) == list(series(values).smoothed(factor).values)
    grown.rewind(cut)
    assert list(grown.smoothed(factor).values) == list(series(values[:cut]).smoothed(factor).values)


def test_the_nearest_point() -> None:
    made = series([1.0, 2.0, 3.0])
    assert [made.at("step", place) for place in (-5, 1.4, 1.6, 99)] == [0, 0, 1, 2]
    assert made.at("tokens", 100) == 1
    assert Series().at("step", 1) is None


def test_a_clock_that_is_set_back_does_not_turn_the_axis() -> None:
    made = Series()
    for step, seconds in ((1, 10.0), (2, 4.0), (3, 12.0)):
        made.put(step, 0, seconds, 0.0)
    assert list(made.places["time"]) == [10.0, 10.0, 12.0]
