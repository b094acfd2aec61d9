"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.report.figures import compact, duration, size

FACTORS = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}


@given(st.floats(-1e14, 1e14))
def test_a_compact_number_reads_back(value: float) -> None:
    text = compact(value).replace("−", "-")
    number = float(text[:-1]) * FACTORS[text[-1]] if text[-1] in FACTORS else float(text)
    assert math.isclose(number, value, rel_tol=5.1e-3, abs_tol=1e-300)
    assert len(text) <= 10


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999.9, "1.00k"), (1234567, "1.23M"), (0.00123, "0.00123"), (2.5, "2.50"), (1e-7, "1e−7"), (999, "999")],
)
def test_compact(value: float, text: str) -> None:
    assert compact(value) == text
    assert compact(math.nan) == "not a number"


def test_times_and_sizes() -> None:
    assert [duration(s) for s in (0.4, 9.97, 59.6, 3600, 90000, 200000)] == [
        "0.4 s", "10 s", "1 min 00 s", "1 h 00 min", "25 h 00 min", "2 d 7 h",
    ]  # fmt: skip
    assert [size(n) for n in (12, 3500, 1.5e9)] == ["12.0 B", "3.50 kB", "1.50 GB"]
