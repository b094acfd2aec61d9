"""Sizes as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.planning.sizes import format_count, format_duration, format_size, parse_rate, parse_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24GB", 24 * 10**9),
        ("24 gb", 24 * 10**9),
        ("16GiB", 16 * 2**30),
        ("1.5tib", 3 * 2**39),
        ("0.1 GB", 10**8),
        ("4096", 4096),
        ("512MB", 512 * 10**6),
    ],
)
def test_parse(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "GB", "24QB", "-1GB", "0", "0GB", "1e3GB", "24GB24", "nan", "1" * 400, "24,5GB", "٣GB"]
)
def test_anything_else_is_one_clear_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^\S.* is not an amount of memory; write a number and a unit"):
        parse_size(text)


@given(st.integers(min_value=1, max_value=10**15))
def test_what_is_printed_reads_back_to_three_digits(size: int) -> None:
    text = format_size(size)
    assert parse_size(text) == pytest.approx(size, rel=0.0051)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(7, "7"), (3_672_320, "3.67M"), (37_748_736, "37.7M"), (7_000_559_616, "7.00B"), (4.5e15, "4.50e+15")],
)
def test_counts(count: float, expected: str) -> None:
    assert format_count(count) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("165T", 1.65e14), ("1.65e14", 1.65e14), ("990 TFLOPS", 9.9e14), ("1 pflop/s", 1e15), (".5G", 5e8), ("12", 12.0)],
)
def test_rates(text: str, expected: float) -> None:
    assert parse_rate(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "T", "fast", "0", "-1T", "1e400", "nan", "inf", "1T2", "9" * 99, "٣T"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match=r"^\S.* is not a number of operations per second; write like"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.25, "0.25 s"),
        (45.2, "45 s"),
        (59.7, "1 min 0 s"),
        (750, "12 min 30 s"),
        (12_000, "3 h 20 min"),
        (100_000, "1 day 3 h"),
        (31_536_000, "365 days 0 h"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected
