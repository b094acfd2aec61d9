"""Numbers as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

NOTHING = "–"
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def compact(value: float, digits: int = 3) -> str:
    """`1.23M`, `45.6k`, `7.89`, `0.00123`: so many significant digits."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0:
        return "0"
    size = abs(float(f"{value:.{digits}g}"))
    for factor, unit in _UNITS:
        if size >= factor:
            return _significant(value / factor, digits) + unit
    return _significant(value, digits)


def _significant(value: float, digits: int) -> str:
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0:
        return "0"
    exponent = math.floor(math.log10(abs(rounded)))
    if exponent < -4:
        mantissa, _, power = f"{rounded:.{digits - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}".replace("-", "−")
    return f"{rounded:.{max(digits - 1 - exponent, 0)}f}".replace("-", "−")


def whole(value: float) -> str:
    """`1,234,567`."""
    return f"{round(value):,}"


def size(n_bytes: float) -> str:
    """`1.23 GB`; powers of ten."""
    text = compact(n_bytes)
    return f"{text[:-1]} {text[-1]}B" if text[-1].isalpha() and text[-1] in "kMGT" else f"{text} B"


def duration(seconds: float) -> str:
    """`2 d 3 h`, `1 h 02 min`, `3 min 05 s`, `12 s`."""
    total = round(seconds)
    if total >= 172_800:
        return f"{total // 86_400} d {total % 86_400 // 3600} h"
    if total >= 3600:
        return f"{total // 3600} h {total % 3600 // 60:02d} min"
    if total >= 60:
        return f"{total // 60} min {total % 60:02d} s"
    return f"{total} s" if total >= 10 else f"{seconds:.1f} s"


def moment(seconds: float) -> str:
    """`2026-11-21 14:05 UTC` of seconds since 1970."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, OSError, ValueError):
        return NOTHING


def score(value: float | None, digits: int = 3) -> str:
    """Three decimals, or a dash for none."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"
