"""Contract of sources: documents to prepare, or tokens to train on.

::

    class Lines(DocumentSource):
        def __init__(self, config: OnePath) -> None:
            self.path = Path(config.path)

        def documents(self):
            try:
                lines = self.path.read_bytes().splitlines()
            except OSError as error:
                raise UsageError(f"{self.path}: {error.strerror}") from None
            for number, line in enumerate(lines, start=1):
                yield Document(name=f"{self.path}:{number}", group=str(number), data=line)

registered with `registrar.source("vendor/lines", ..., yields="documents", example=".example:write")`: a function that writes
small files, so that the contract suite can compare what comes out with what went in (`testing.example_files`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nanochat_framework.data.file_text import Text
from nanochat_framework.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Document:
    """One text. `group` is what is held out as a whole (a top-level package, a folder): documents of one group are
    never on both sides of the train/validation split. `data` that is long stays in its file (FileText). `score` is a
    finite number that a curriculum can order documents by, or None."""

    name: str
    group: str
    data: Text
    score: float | None = None


class DocumentSource(ABC):
    """Yields documents, always in the same order. Factory: `build(config)`; registered with `yields="documents"`.

    `nanochat prepare-data` iterates them several times (for the tokenizer, for the tokens), and again after a kill.
    """

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """All documents; may be iterated more than once. Raises UsageError if there is nothing to read."""


class TokenSource(ABC):
    """Has tokens ready to train on. Factory: `build(config, *, vocab_size: int)`; registered with `yields="tokens"`.

    Raises UsageError if the tokens do not fit a model of that vocabulary.
    """

    tokenizer: Tokenizer | None = None
    """What the ids mean, where there is text behind them."""
    tokenizer_path: Path | None = None
    """The file it came from; checkpoints carry a copy."""

    @abstractmethod
    def train(self) -> np.ndarray:
        """(n,) uint32 ids, memory-mapped or in memory."""

    @abstractmethod
    def validation(self) -> np.ndarray | None:
        """(n,) uint32 held-out ids, or None."""

    def train_starts(self) -> np.ndarray | None:
        """(documents,) ascending: the first token of each document of `train()`. None where that is not known."""
        return None

    def train_scores(self) -> np.ndarray | None:
        """(documents,) float32: a difficulty for each document of `train()`, low for easy ones. None without scores."""
        return None

    def validation_starts(self) -> np.ndarray | None:
        """(documents,) ascending: the first token of each held-out document. None where that is not known."""
        return None


Source = DocumentSource | TokenSource
