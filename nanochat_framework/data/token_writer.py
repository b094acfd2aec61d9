"""Writes the token files of one side of the split, from where an earlier process left them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from nanochat_framework.data.encoding import Encoded
from nanochat_framework.data.token_store import SCORE_DTYPE, START_DTYPE, TOKEN_DTYPE, sha256_of
from nanochat_framework.data.workspace import Workspace


@dataclass(frozen=True)
class Finished:
    """One side's token files: what `data.json` says of them, and final name -> name in the workspace.

    The order is: tokens, starts, scores where there are some.
    """

    facts: dict[str, Any]
    files: dict[str, str]


class TokenWriter:
    """`NAME.bin`, `NAME.starts.bin` and, for documents with scores, `NAME.scores.bin` in a workspace.

    `counts` is what an earlier journal says of this side; empty at the start. Raises OSError.
    """

    def __init__(
        self, work: Workspace, name: str, counts: Mapping[str, int], *, scores: bool, stack: ExitStack
    ) -> None:
        self.name = f"{name}.bin"
        self._work = work
        self.tokens, self.documents = counts.get("tokens", 0), counts.get("documents", 0)
        self.bytes = counts.get("bytes", 0)
        parts = {
            self.name: self.tokens * TOKEN_DTYPE.itemsize,
            f"{name}.starts.bin": self.documents * START_DTYPE.itemsize,
        }
        if scores:
            parts[f"{name}.scores.bin"] = self.documents * SCORE_DTYPE.itemsize
        self.files: dict[str, BinaryIO] = {
            part: stack.enter_context(work.open(part, size)) for part, size in parts.items()
        }

    def counts(self) -> dict[str, int]:
        """What is written, for the journal."""
        return {"tokens": self.tokens, "documents": self.documents, "bytes": self.bytes}

    def add(self, batch: list[Encoded]) -> None:
        """Append pieces of this side."""
        if not batch:
            return
        starts, scores = [], []
        for piece, ids in ((encoded.piece, encoded.ids) for encoded in batch):
            if piece.is_first:
                starts.append(self.tokens)
                scores.append(piece.document.score)
            self.tokens += len(ids)
            self.bytes += len(piece.data)
        self.documents += len(starts)
        tokens, of_starts, *of_scores = self.files.values()
        tokens.write(np.concatenate([encoded.ids for encoded in batch]).tobytes())
        of_starts.write(np.array(starts, dtype=START_DTYPE).tobytes())
        for file in of_scores:
            file.write(np.array(scores, dtype=SCORE_DTYPE).tobytes())

    def finished(self) -> Finished:
        """What was written, once the files are closed."""
        facts = {**self.counts(), "scores": len(self.files) > 2, "sha256": sha256_of(self._work.path(self.name))}
        return Finished(facts, {name: name for name in self.files})
