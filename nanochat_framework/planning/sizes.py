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

_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15}
_RATE = re.compile(
    r"\s*((?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(?:e\+?\d{1,2})?)\s*([kmgtp]?)(?:flops?(?:/s)?)?\s*",
    re.IGNORECASE | re.ASCII,
)


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


def format_budget(size: int) -> str:
    """An amount of memory as a person gave it: 24 GB."""
    return f"{size / 1e9:g} GB"


def parse_rate(text: str) -> float:
    """Operations per second of `165T`, `1.65e14` or `990 TFLOPS`. Raises ValueError, in one line, for anything else."""
    match = _RATE.fullmatch(text)
    rate = float(match[1]) * _PREFIXES[match[2].lower()] if match else 0.0
    if not 0 < rate < float("inf"):
        raise ValueError(f"{text!r} is not a number of operations per second; write like 165T or 1.65e14")
    return rate


def format_duration(seconds: float) -> str:
    """Two units: 45 s, 12 min 30 s, 3 h 20 min, 2 days 4 h."""
    whole = round(seconds)
    for unit, size, smaller, below in (("days", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            count, rest = divmod(whole, size)
            name = "day" if (unit, count) == ("days", 1) else unit
            return f"{count:,} {name} {rest // below} {smaller}"
    return f"{whole} s" if seconds >= 1 else f"{seconds:.2g} s"


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
