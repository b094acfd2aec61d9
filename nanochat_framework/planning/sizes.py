"""Sizes in bytes as people write and read them. GB is 10⁹ bytes and GiB 2³⁰, as the units are defined."""

from __future__ import annotations

import re
from fractions import Fraction

_FACTORS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})\s*([a-z]*)\s*", re.IGNORECASE | re.ASCII)


def parse_size(text: str) -> int:
    """Bytes of `24GB`, `16 GiB`, `512MB` or a plain number. Raises ValueError, in one line, for anything else."""
    match = _SIZE.fullmatch(text)
    factor = _FACTORS.get(match[2].lower()) if match else None
    size = int(Fraction(match[1]) * factor) if match and factor else 0
    if size <= 0:
        raise ValueError(f"{text!r} is not an amount of memory; write a number and a unit, like 24GB or 16GiB")
    return size


def format_size(size: float) -> str:
    """Three significant digits with a decimal unit: 1.07 GB."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{_three_digits(size / factor)} {unit}"
    return f"{size:.0f} B"


def format_count(count: float) -> str:
    """Three significant digits with k, M, B (10⁹) or T; larger numbers in powers of ten."""
    if count >= 1e15:
        return f"{count:.2e}"
    for unit, factor in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= factor:
            return f"{_three_digits(count / factor)}{unit}"
    return f"{count:.0f}"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
