"""The highest, mean and lowest of many series that are recorded together."""

from __future__ import annotations

from math import inf, isfinite, isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_tui.charts.series import AXES, Series
from nanochat_tui.charts.spread import Spread

VALUES = st.floats(-1e6, 1e6) | st.sampled_from([nan, inf])
ROWS = st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=30)


def put(members: list[Series], step: int, row: tuple[float, ...]) -> None:
    for member, value in zip(members, row, strict=True):
        member.put(step, step * 64, step * 0.5, value)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 30), ROWS), min_size=1, max_size=5))
def test_it_is_what_the_members_are_whenever_it_is_asked(parts: list[tuple[int, list[tuple[float, ...]]]]) -> None:
    """Attempts go on from earlier steps, and it is brought up to date in between, or not."""
    members = [Series() for _ in range(3)]
    spread = Spread(members)
    rows: dict[int, tuple[float, ...]] = {}
    for begin, part in parts:
        rows = {step: row for step, row in rows.items() if step <= begin}
        for member in members:
            member.rewind(begin)
        for step, row in enumerate(part, begin + 1):
            put(members, step, row)
            rows[step] = row
        spread.bring_up_to_date()
        for series, _ in spread.curves:
            assert list(series.places["step"]) == sorted(rows)
            assert all(list(series.places[axis]) == list(members[0].places[axis]) for axis in AXES)
        for place, step in enumerate(sorted(rows)):
            found = [series.values.values[place] for series, _ in spread.curves]
            row = rows[step]
            if all(map(isfinite, row)):
                assert found == [max(row), pytest.approx(sum(row) / 3), min(row)]
            else:
                assert all(map(isnan, found)), "a hole stays one"


def test_members_of_other_records_are_left_out() -> None:
    members = [Series(), Series(), Series()]
    put(members, 1, (1.0, 2.0, 3.0))
    put(members[:2], 2, (5.0, 7.0))
    spread = Spread(members)
    spread.bring_up_to_date()
    assert [list(series.values.values) for series, _ in spread.curves] == [[2.0, 7.0], [1.5, 6.0], [1.0, 5.0]]
