"""Token files: flat little-endian u32 ids, with what they are in `data.json` beside them.

data/
  tokenizer.json
  tokens.bin  tokens.starts.bin      training tokens; first token of each document, u64
              tokens.scores.bin      optional: a difficulty for each document, f32, low for easy ones
  val.bin     val.starts.bin         held-out tokens
  data.json                          written last: counts, checksums, the vocabulary they are made with
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError

DATA_JSON = "data.json"
WORK_FOLDER = ".prepare"
"""Holds what a preparation has done so far; goes when it is whole."""
SCHEMA_VERSION = 1
TOKEN_DTYPE, START_DTYPE, SCORE_DTYPE = np.dtype("<u4"), np.dtype("<u8"), np.dtype("<f4")
FULL_CHECK_BYTES = 256 * 2**20
"""Files up to this size are checked whole (checksum and every id) each time they are opened; larger ones by size and
by ids at 65 536 places, or whole with `verify=True`."""


@dataclass(frozen=True)
class TokenStore:
    """A token file, memory-mapped. `tokens` (n,) uint32; `starts` (documents,) uint64, `scores` (documents,) float32,
    each None where there is no such file."""

    path: Path
    tokens: np.ndarray
    starts: np.ndarray | None
    scores: np.ndarray | None
    facts: dict[str, Any] | None

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        vocab_size: int | None = None,
        tokenizer: Tokenizer | None = None,
        verify: bool = False,
    ) -> TokenStore:
        """Map a token file and check it against its `data.json`, a vocabulary size and a tokenizer.

        Raises UsageError for a file that is missing, torn, altered, of another vocabulary, or holds ids that the model
        has no row for. A bare file (no data.json) is taken as it is, with a warning on stderr.
        """
        path = Path(path)
        if path.is_dir():
            raise UsageError(_is_a_folder(path))
        if not path.is_file():
            raise UsageError(f"{path}: no such token file; `nanochat prepare-data --output {path.parent}` makes one")
        size = path.stat().st_size
        if size == 0 or size % TOKEN_DTYPE.itemsize:
            raise UsageError(f"{path}: {size} bytes are not a whole number of 4-byte tokens; it is cut off or foreign")
        data = read_data_json(path.parent)
        facts = None if data is None else data["files"].get(path.name)
        if facts is None and is_unfinished(path.parent):
            raise UsageError(
                f"{path.parent}: its preparation was stopped, or is going on; run the same prepare-data again to go on"
            )
        if facts is None:
            print(f"warning: {path}: no {DATA_JSON} tells about it; taken as bare tokens", file=sys.stderr)
        elif facts["tokens"] * TOKEN_DTYPE.itemsize != size:
            raise UsageError(
                f"{path}: {size // 4} tokens, {DATA_JSON} says {facts['tokens']}; it is cut off or altered, prepare it again"
            )
        if tokenizer is not None and data is not None and data["tokenizer_sha256"] != tokenizer.fingerprint:
            raise UsageError(f"{path}: its tokens were made with another tokenizer than the model's")
        tokens = np.memmap(path, dtype=TOKEN_DTYPE, mode="r")
        whole = verify or size <= FULL_CHECK_BYTES
        if facts is not None and whole and sha256_of(path) != facts["sha256"]:
            raise UsageError(f"{path}: its checksum is not the one in {DATA_JSON}; it was altered, prepare it again")
        _check_ids(path, tokens, vocab_size, whole)
        starts, scores = _beside(path, "starts", START_DTYPE), _beside(path, "scores", SCORE_DTYPE)
        _check_starts(path, starts, len(tokens), facts)
        if scores is None and facts is not None and facts.get("scores"):
            raise UsageError(f"{path.with_suffix('.scores.bin')}: is missing; {DATA_JSON} says that there are scores")
        if scores is not None and (starts is None or len(scores) != len(starts)):
            n_documents = "no" if starts is None else len(starts)
            raise UsageError(
                f"{path.with_suffix('.scores.bin')}: holds {len(scores)} scores for {n_documents} documents; write one "
                f"float32 for each document of {path.with_suffix('.starts.bin').name}"
            )
        return cls(path, tokens, starts, scores, facts)

    def __len__(self) -> int:
        return len(self.tokens)


def _is_a_folder(path: Path) -> str:
    file = path / "tokens.bin"
    if file.is_file():
        return f"{path}: is a folder; did you mean {file}?"
    return f"{path}: is a folder, and has no tokens.bin; `nanochat prepare-data --output {path}` makes one"


def _beside(path: Path, what: str, dtype: np.dtype[Any]) -> np.ndarray | None:
    """The numbers of each document in the file beside the tokens, or None. Raises UsageError for one that is cut off."""
    file = path.with_suffix(f".{what}.bin")
    if not file.is_file():
        return None
    size = file.stat().st_size
    if size == 0 or size % dtype.itemsize:
        raise UsageError(f"{file}: {size} bytes are not a whole number of {dtype.itemsize}-byte numbers; it is cut off")
    return np.memmap(file, dtype=dtype, mode="r")


def _check_starts(path: Path, starts: np.ndarray | None, n_tokens: int, facts: dict[str, Any] | None) -> None:
    """Raises UsageError unless the starts are of this file: as many as documents, from 0 on, ascending."""
    if starts is None and facts is None:
        return
    if (
        starts is None
        or (facts is not None and len(starts) != facts["documents"])
        or starts[0] != 0
        or int(starts[-1]) >= n_tokens
        or (starts[1:] <= starts[:-1]).any()
    ):
        raise UsageError(
            f"{path.with_suffix('.starts.bin')}: is not the document starts of {path.name}; prepare the data again"
        )


def is_unfinished(folder: Path) -> bool:
    """Whether a preparation in this folder has begun and not ended."""
    return (folder / WORK_FOLDER).is_dir()


def read_data_json(folder: Path) -> dict[str, Any] | None:
    """`data.json` of a data folder, None if there is none. Raises UsageError if it is damaged or of a later version."""
    path = folder / DATA_JSON
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); prepare the data again") from None
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(f"{path}: not a data.json of schema {SCHEMA_VERSION}; prepare the data again")
    files = data.get("files")
    if (
        not isinstance(files, dict)
        or not isinstance(data.get("tokenizer_sha256"), str)
        or not all(_is_whole(facts) for facts in files.values())
    ):
        raise UsageError(f"{path}: is damaged; prepare the data again")
    return data


def _is_whole(facts: Any) -> bool:
    return (
        isinstance(facts, dict)
        and all(type(facts.get(count)) is int for count in ("tokens", "documents", "bytes"))
        and isinstance(facts.get("sha256"), str)
    )


def _check_ids(path: Path, tokens: np.ndarray, vocab_size: int | None, whole: bool) -> None:
    if vocab_size is None:
        return
    step = 1 if whole else max(1, len(tokens) // 65536)
    largest = int(tokens[::step].max())
    if largest >= vocab_size:
        raise UsageError(
            f"{path}: holds token id {largest}, the model's vocabulary ends at {vocab_size - 1}; set model.vocab_size or "
            f"prepare the data with --vocab-size {vocab_size}"
        )


def sha256_of(path: Path) -> str:
    """Checksum of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
