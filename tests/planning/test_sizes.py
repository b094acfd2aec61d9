"""Sizes as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.planning.sizes import format_count, format_size, parse_size


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
