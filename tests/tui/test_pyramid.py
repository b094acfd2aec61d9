"""The min/max pyramid against looking at every value."""

from __future__ import annotations

from math import inf, isfinite, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_tui.charts.pyramid import FAN_OUT, Extent, MinMaxPyramid

VALUES = st.lists(
    st.one_of(st.floats(-1e9, 1e9, width=32), st.sampled_from([nan, inf, -inf])), max_size=3 * FAN_OUT**2 + 5
)


def naive(values: list[float]) -> Extent:
    finite = [value for value in values if isfinite(value)]
    return Extent(min(finite, default=inf), max(finite, default=-inf), len(finite) < len(values))


def built(values: list[float]) -> MinMaxPyramid:
    pyramid = MinMaxPyramid()
    for value in values:
        pyramid.append(value)
    return pyramid


@settings(max_examples=50)
@given(VALUES, st.integers(-3, 900), st.integers(-3, 900))
def test_the_extent_is_that_of_the_values(values: list[float], begin: int, end: int) -> None:
    assert built(values).extent(begin, end) == naive(values[max(begin, 0) : max(end, 0)])


@settings(max_examples=50)
@given(VALUES, VALUES, st.integers(0, 900), st.integers(0, 900))
def test_what_is_cut_off_leaves_no_trace(values: list[float], later: list[float], length: int, begin: int) -> None:
    pyramid = built(values)
    pyramid.cut(length)
    for value in later:
        pyramid.append(value)
    kept = values[:length] + later
    assert len(pyramid) == len(kept)
    assert pyramid.extent(begin, len(kept)) == naive(kept[begin:])


def test_a_long_series_has_the_levels_that_make_it_cheap() -> None:
    pyramid = built([float(value % 1013) for value in range(FAN_OUT**4)])
    assert [len(level) for level in pyramid._levels] == [FAN_OUT**3, FAN_OUT**2, FAN_OUT, 1]
    assert pyramid.extent(7, FAN_OUT**4 - 7) == Extent(0.0, 1012.0, False)


@pytest.mark.parametrize("count", [1, 255, 256, 4095, 4096, 10**6])
def test_groups_for_a_stretch_of_that_many_values(count: int) -> None:
    pyramid = MinMaxPyramid()
    values = [float((7919 * n) % 10007) for n in range(70_000)]
    for value in values:
        pyramid.append(value)
    found = pyramid.groups(count)
    if count < FAN_OUT * FAN_OUT:
        assert found is None
        return
    assert found is not None
    size, groups = found
    assert count >= size * FAN_OUT and len(groups) == len(values) // size
    assert groups.extent(1, 3) == (min(values[size : 3 * size]), max(values[size : 3 * size]), False)
