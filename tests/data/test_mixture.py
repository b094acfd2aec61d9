"""Rows are dealt out to sources so that shares hold at every moment."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nanochat_framework.data.mixture import MAX_PERIOD, Mixture

WEIGHTS = st.lists(
    st.one_of(st.integers(0, 12).map(float), st.sampled_from([0.1, 0.25, 0.7, 1.5])), min_size=1, max_size=6
)


@settings(max_examples=150)
@given(WEIGHTS)
def test_every_source_is_within_one_row_of_its_share_at_every_moment(weights: list[float]) -> None:
    assume(any(weights))
    mixture = Mixture(weights)
    counts = [0] * len(weights)
    for row in range(min(2 * mixture.period + 3, 1000)):
        source = mixture.source(row)
        assert mixture.count(source, row) == counts[source]
        assert mixture.row(source, counts[source]) == row
        counts[source] += 1
        for each, count in enumerate(counts):
            share = (row + 1) * Fraction(repr(weights[each])) / sum(Fraction(repr(weight)) for weight in weights)
            assert abs(count - share) < 1
            assert mixture.count(each, row + 1) == count


@given(WEIGHTS, st.integers(0, 10**12))
def test_far_rows_are_found_at_once(weights: list[float], row: int) -> None:
    assume(any(weights))
    mixture = Mixture(weights)
    source = mixture.source(row)
    assert mixture.row(source, mixture.count(source, row)) == row
    assert sum(mixture.count(each, row) for each in range(len(weights))) == row


def test_weights_without_a_short_period_are_rounded() -> None:
    mixture = Mixture([0.123456789, 1.0, 1e-12, 0.0])
    assert MAX_PERIOD <= mixture.period <= MAX_PERIOD + 4
    assert mixture.parts[2:] == (1, 0)
    assert mixture.parts[0] / mixture.parts[1] == pytest.approx(0.123456789, abs=1e-4)


def test_nothing_to_mix() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Mixture([0.0, 0.0])
