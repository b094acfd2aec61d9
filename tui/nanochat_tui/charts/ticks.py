"""Where an axis gets its marks, and how numbers are written beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

Tick = tuple[float, str]
"""A place on an axis and its label."""
_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_TIMES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def linear(low: float, high: float, count: int) -> list[Tick]:
    """At most `count` round places (1, 2 or 5 times a power of ten apart) in [low, high], written with equal decimals."""
    size = max(abs(low), abs(high))
    if count < 1 or not math.isfinite(high - low) or not high - low > 1e-12 * size:
        return []
    power = 10.0 ** math.floor(math.log10((high - low) / count))
    for factor in (1, 2, 5, 10, 20, 50):
        step = power * factor
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < count:
            break
    places = [number * step for number in range(first, last + 1)]
    return list(zip(places, _alike(places, step), strict=True))


def logarithmic(low: float, high: float, count: int) -> list[Tick]:
    """Powers of ten in [low, high], between them 2 and 5 where there is room; both ends positive."""
    if count < 1 or not 0 < low < high < math.inf:
        return []
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[list[float]] = [[factor * 10.0**power for power in powers for factor in (1, 2, 5)]]
    found += [[10.0**power for power in powers if power % stride == 0] for stride in (1, 2, 3, 5, 10, 20, 50)]
    for places in found:
        places = [place for place in places if low * (1 - 1e-9) <= place <= high * (1 + 1e-9)]
        if 2 <= len(places) <= count:
            return [(place, short(place)) for place in places]
    return [tick for tick in linear(low, high, count) if tick[0] > 0]


def times(low: float, high: float, count: int) -> list[Tick]:
    """At most `count` round times in [low, high] seconds."""
    if count < 1 or not (high > low):
        return []
    if high - low < count:  # less than a second apart
        return [(place, f"{label}s") for place, label in linear(low, high, count)]
    step = next((t for t in _TIMES if math.floor(high / t + 1e-9) - math.ceil(low / t - 1e-9) < count), 0)
    if not step:
        days = linear(low / 86400, high / 86400, count)
        return [(place * 86400, f"{label}d") for place, label in days]
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(float(n * step), duration(n * step)) for n in range(first, last + 1)]


def duration(seconds: float) -> str:
    """A length of time in its two largest units: `45s`, `5m`, `2h30m`, `3d`."""
    if not math.isfinite(seconds):
        return "-"
    whole = round(max(seconds, 0.0))
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= length:
            count, rest = divmod(whole, length)
            return f"{count}{unit}{rest // part}{smaller}" if rest // part else f"{count}{unit}"
    return f"{whole}s"


def short(value: float) -> str:
    """A number in about six characters: `3.142`, `12.5k`, `3e-04`, `NaN`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    size = abs(value)
    if size >= 1e15:
        return _scientific(value)
    for factor, suffix in _SUFFIXES:
        if size >= factor * 0.99995:
            return f"{_plain(value / factor)}{suffix}"
    if size and size < 1e-3:
        return _scientific(value)
    return _plain(value)


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def _plain(value: float) -> str:
    text = f"{value:.4g}"
    return f"{value:.0f}" if "e" in text else text


def _alike(places: Sequence[float], step: float) -> list[str]:
    """Labels with one number of decimals and one suffix; with powers of ten where they would be long."""
    top = max(map(abs, places), default=0.0)
    factor, suffix = next(((f, s) for f, s in _SUFFIXES if top >= f), (1.0, ""))
    if top < 1e-3 or top >= 1e15:
        return [short(place) if place else "0" for place in places]
    decimals = max(0, -math.floor(math.log10(step / factor) + 1e-9))
    if decimals > 5:
        return [f"{place:.6g}" for place in places]
    return [f"{place / factor:.{decimals}f}{suffix}" if place else "0" for place in places]
