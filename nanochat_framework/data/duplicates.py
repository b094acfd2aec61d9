"""Token files without some of their documents."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from nanochat_framework.data.token_store import SCORE_DTYPE, START_DTYPE, TOKEN_DTYPE, sha256_of
from nanochat_framework.data.token_writer import Finished
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.data.workspace import Workspace

_CHUNK = 2**22


def without(work: Workspace, side: Finished, dropped: np.ndarray, tokenizer: Tokenizer) -> Finished:
    """Copy a side's files, under other names in the workspace, without the documents marked in `dropped`, (n,) bool.

    Raises OSError.
    """
    names = {final: f"kept.{final}" for final in side.files}
    tokens, starts, *scores = side.files
    first = np.fromfile(work.path(side.files[starts]), START_DTYPE).astype(np.int64)
    lengths = np.diff(np.append(first, side.facts["tokens"]))
    kept = np.flatnonzero(~dropped)
    n_bytes = 0
    with work.path(side.files[tokens]).open("rb") as source, work.open(names[tokens], 0) as target:
        for run in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1):
            begin, end = int(first[run[0]]), int(first[run[-1]] + lengths[run[-1]])
            n_bytes += _copy(source, target, begin, end, tokenizer.byte_lengths)
    _write(work, names[starts], np.cumsum(lengths[kept]) - lengths[kept], START_DTYPE)
    for name in scores:
        _write(work, names[name], np.fromfile(work.path(side.files[name]), SCORE_DTYPE)[kept], SCORE_DTYPE)
    facts = {
        **side.facts,
        "tokens": int(lengths[kept].sum()),
        "documents": len(kept),
        "bytes": n_bytes,
        "sha256": sha256_of(work.path(names[tokens])),
    }
    return Finished(facts, names)


def _copy(source: BinaryIO, target: BinaryIO, begin: int, end: int, byte_lengths: np.ndarray) -> int:
    """Copy tokens begin .. end; the bytes of text that they stand for."""
    source.seek(begin * TOKEN_DTYPE.itemsize)
    n_bytes = 0
    for at in range(begin, end, _CHUNK):
        tokens = np.fromfile(source, TOKEN_DTYPE, min(_CHUNK, end - at))
        n_bytes += int(byte_lengths[tokens].sum())
        target.write(tokens.tobytes())
    return n_bytes


def _write(work: Workspace, name: str, values: np.ndarray, dtype: np.dtype[np.generic]) -> None:
    with work.open(name, 0) as file:
        file.write(values.astype(dtype).tobytes())
