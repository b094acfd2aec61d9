"""How much of the held-out text was seen in training, and which documents nearly repeat another.

Both work on token files, read in chunks. Runs of 13 tokens are compared by 64-bit hashes; where there are too many to
keep, only those whose hash falls into a fixed fraction, on both sides alike. Documents are compared by MinHash (Broder
1997) in one permutation (Li et al. 2012) over their runs of 5 tokens: 64 numbers of 8 bits each, whose share of equals
estimates the share of common runs (b-bit MinHash: Li and König 2010). Candidates agree in one of 16 bands of 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nanochat_framework.data.special_tokens import FIRST_BYTE_ID
from nanochat_framework.data.token_store import START_DTYPE, TOKEN_DTYPE

NGRAM, SHINGLE = 13, 5
MOST_NGRAMS = 2**22
NEARLY_EQUAL = 0.8
"""Documents that share at least this part of their runs of 5 tokens nearly repeat each other."""
_SIGNATURE = 64
_CHUNK = 2**20
_MOST_DOCUMENTS = 2**13
_FILTER = 2**26
_EMPTY = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class Overlap:
    """What was found. `repeats` (training documents,) bool: those that nearly repeat a document before them, or a
    held-out one."""

    ngrams_seen: float | None
    one_in: int
    near_held_out: int
    repeats: np.ndarray


def measure_overlap(train: Path, held_out: Path | None, on_tokens: Callable[[float], None]) -> Overlap:
    """Compare two token files, each with its starts beside it; `on_tokens` is called with the tokens read.

    Memory: 64 bytes and some a document, and 200 MB. Raises OSError.
    """
    seen, one_in = None, 1
    if held_out is not None:
        one_in = _sampling(_count(held_out, TOKEN_DTYPE.itemsize))
        seen = _ngrams_seen(train, held_out, one_in, on_tokens)
    signatures = np.concatenate([_signatures(file, on_tokens) for file in (held_out, train) if file is not None])
    n_held_out = 0 if held_out is None else _count(_starts_of(held_out), START_DTYPE.itemsize)
    first = _first_alike(signatures)
    repeats = first[n_held_out:] < np.arange(n_held_out, len(first))
    return Overlap(seen, one_in, int((first[n_held_out:] < n_held_out).sum()), repeats)


def _count(file: Path, itemsize: int) -> int:
    return file.stat().st_size // itemsize


def _starts_of(file: Path) -> Path:
    return file.with_suffix(".starts.bin")


def _sampling(n_ngrams: int) -> int:
    """The smallest power of two that leaves at most MOST_NGRAMS."""
    one_in = 1
    while n_ngrams // one_in > MOST_NGRAMS:
        one_in *= 2
    return one_in


def _hashes(tokens: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash and place, each (m,), of every run of `length` tokens without a special token: uint64 and int64.

    A polynomial over mixed tokens, put together from runs of 1, 2, 4 ... tokens, then mixed (splitmix64).
    """
    n = len(tokens) - length + 1
    if n <= 0:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    power = _mixed(tokens.astype(np.uint64) + np.uint64(1))
    total = np.zeros(len(tokens), np.uint64)
    done, width, factor = 0, 1, 0x9E3779B97F4A7C15
    remaining = length
    while remaining:
        if remaining & 1:
            total[:n] = total[:n] * np.uint64(factor) + power[done : done + n]
            done += width
        remaining >>= 1
        if remaining:
            power = power[: len(power) - width] * np.uint64(factor) + power[width:]
            width, factor = 2 * width, factor * factor % 2**64
    special = np.concatenate(([0], np.cumsum(tokens < FIRST_BYTE_ID, dtype=np.int64)))
    places = np.flatnonzero(special[length:] == special[:n])
    return _mixed(total[places]), places


def _mixed(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed


def _chunks(file: Path, length: int, on_tokens: Callable[[float], None]) -> Iterator[np.ndarray]:
    """A file's tokens in chunks that overlap so that every run of `length` is in exactly one."""
    kept = np.empty(0, TOKEN_DTYPE)
    with file.open("rb") as source:
        while len(read := np.fromfile(source, TOKEN_DTYPE, _CHUNK)):
            on_tokens(len(read))
            chunk = np.concatenate((kept, read))
            yield chunk
            kept = chunk[max(0, len(chunk) - length + 1) :]


def _ngrams_seen(train: Path, held_out: Path, one_in: int, on_tokens: Callable[[float], None]) -> float | None:
    """Share of the held-out runs of 13 tokens that occur in training; None if there is no such run."""

    def sampled(file: Path) -> Iterator[np.ndarray]:
        for chunk in _chunks(file, NGRAM, on_tokens):
            hashes, _ = _hashes(chunk, NGRAM)
            yield hashes[hashes % np.uint64(one_in) == 0] if one_in > 1 else hashes

    wanted, counts = np.unique(np.concatenate([np.empty(0, np.uint64), *sampled(held_out)]), return_counts=True)
    if not len(wanted):
        return None
    found = np.zeros(len(wanted), bool)
    mask = np.uint64(_FILTER - 1)
    passes = np.zeros(_FILTER, bool)  # the many that are nowhere held out are seen to be so at one look
    passes[wanted & mask] = True
    for hashes in sampled(train):
        likely = hashes[passes[hashes & mask]]
        places = np.minimum(np.searchsorted(wanted, likely), len(wanted) - 1)
        found[places[wanted[places] == likely]] = True
    return float(counts[found].sum() / counts.sum())


def _signatures(file: Path, on_tokens: Callable[[float], None]) -> np.ndarray:
    """(documents, 64) uint8; all 255 for a document of fewer than 5 tokens."""
    starts = np.fromfile(_starts_of(file), START_DTYPE)
    ends = np.append(starts[1:], np.uint64(_count(file, TOKEN_DTYPE.itemsize)))
    signatures = np.empty((len(starts), _SIGNATURE), np.uint8)
    first = 0
    with file.open("rb") as source:
        while first < len(starts):
            limit = np.searchsorted(ends, starts[first] + np.uint64(_CHUNK), side="right")
            last = int(min(max(limit, first + 1), first + _MOST_DOCUMENTS))
            least = np.full((last - first, _SIGNATURE), _EMPTY)
            for at, tokens in _parts(source, int(starts[first]), int(ends[last - 1])):
                on_tokens(len(tokens))
                hashes, places = _hashes(tokens, SHINGLE)
                owner = np.searchsorted(starts[first:last], (places + at).astype(START_DTYPE), side="right") - 1
                np.minimum.at(
                    least.reshape(-1), owner * _SIGNATURE + (hashes >> np.uint64(58)).astype(np.int64), hashes
                )
            signatures[first:last] = _packed(least)
            first = last
    return signatures


def _parts(source: BinaryIO, begin: int, end: int) -> Iterator[tuple[int, np.ndarray]]:
    """(place, tokens) of a stretch, in pieces of a chunk that overlap by a shingle."""
    while begin < end:
        count = min(end - begin, _CHUNK + SHINGLE - 1)
        source.seek(begin * TOKEN_DTYPE.itemsize)
        yield begin, np.fromfile(source, TOKEN_DTYPE, count)
        begin += _CHUNK


def _packed(least: np.ndarray) -> np.ndarray:
    """Eight bits of each minimum; an empty place takes its right neighbour's, so that short documents compare too."""
    empty = least == _EMPTY
    short = empty.all(axis=1)
    if empty.any():
        doubled = np.concatenate((empty, empty), axis=1)
        columns = np.where(doubled, 2 * _SIGNATURE, np.arange(2 * _SIGNATURE))
        nearest = np.minimum.accumulate(columns[:, ::-1], axis=1)[:, ::-1][:, :_SIGNATURE]
        nearest = np.where(short[:, None], 0, nearest) % _SIGNATURE
        least = np.take_along_axis(least, nearest, axis=1)
    packed: np.ndarray = (least & np.uint64(0xFF)).astype(np.uint8)
    packed[short] = 0xFF
    return packed


def _first_alike(signatures: np.ndarray) -> np.ndarray:
    """(documents,) int64: the first document found that each nearly repeats, itself where there is none."""
    n = len(signatures)
    first = np.arange(n)
    compared = np.flatnonzero(~(signatures == 0xFF).all(axis=1))
    by_chance = 1 / 256
    needed = (NEARLY_EQUAL * (1 - by_chance) + by_chance) * _SIGNATURE
    for band in range(_SIGNATURE // 4):
        keys = np.ascontiguousarray(signatures[:, 4 * band : 4 * band + 4]).view(np.uint32)[compared, 0]
        order = np.argsort(keys, kind="stable")
        sorted_keys = keys[order]
        begins = np.concatenate(([True], sorted_keys[1:] != sorted_keys[:-1]))[: len(order)]
        heads = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
        later = np.flatnonzero(~begins)
        for part in np.array_split(later, len(later) // _CHUNK + 1):
            documents, head = compared[order[part]], compared[order[heads[part]]]
            equal = (signatures[documents] == signatures[head]).sum(axis=1)
            alike = equal >= needed
            first[documents[alike]] = np.minimum(first[documents[alike]], head[alike])
    return first
