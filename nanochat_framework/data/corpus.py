"""A document source with its split: which side each document is on."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from nanochat_framework.contracts.source import Document, DocumentSource
from nanochat_framework.data.split import cut_in_two, drawn, held_out_groups
from nanochat_framework.errors import UsageError

MOST_UNITS = 2**14
"""Up to so many groups are weighed against each other; of more, each is held out or not by its own hash, so that memory
does not grow with their number."""
_READ_BYTES = 2**24


class Corpus:
    """Documents that are not empty, each with its side; may be iterated again and again.

    Whole groups are held out. If all documents are of one group, each stands for itself; if there is one document only,
    its end is held out. Says on stderr when it does not hold out groups, or holds out much more than asked.
    Reads everything once, calling `on_bytes` with what it has read. Raises UsageError if there is no text, or if some
    documents have a score and others have none.
    """

    def __init__(
        self,
        source: DocumentSource,
        fraction: float,
        seed: int,
        on_bytes: Callable[[float], None] = lambda amount: None,
    ) -> None:
        self.fraction = fraction
        self._source, self._seed = source, seed
        self.bytes = self.documents = self._scored = 0
        groups, names = _Sizes(), _Sizes()
        digest = hashlib.sha256()
        for document in self._documents():
            self._count(document, groups, names)
            _digest(document, digest, on_bytes)
        self.sha256 = digest.hexdigest()
        """Of all names, groups, scores and bytes, in order."""
        if not self.bytes:
            raise UsageError("there is no text in what was named")
        self.has_scores = self._scored > 0
        self._by_name = len(groups.of) == 1 and groups.whole and fraction > 0
        sizes = names if self._by_name else groups
        self.held_out = held_out_groups(sizes.of, fraction, seed) if sizes.whole else None
        """Groups (or, of a single group, documents) that are held out; None where each one's hash decides."""
        self.cuts_one = self.documents == 1 and fraction > 0
        """Whether there is but one document, and its end is held out."""
        self._explain(sizes)

    def _count(self, document: Document, groups: _Sizes, names: _Sizes) -> None:
        size = len(document.data)
        self.bytes += size
        self.documents += 1
        self._scored += document.score is not None
        if self._scored not in (0, self.documents):
            raise UsageError(
                f"{document.name}: some documents have a score and others have none; this is the first such"
            )
        groups.add(document.group, size)
        if len(groups.of) == 1:
            names.add(document.name, size)

    def _documents(self) -> Iterator[Document]:
        return (document for document in self._source.documents() if len(document.data))

    def _explain(self, sizes: _Sizes) -> None:
        if self.cuts_one:
            print("note: there is one document only; its end is held out", file=sys.stderr)
        elif self._by_name:
            print("note: there is one group of documents only; single documents are held out", file=sys.stderr)
        share = sum(sizes.of[unit] for unit in self.held_out or ()) / self.bytes
        if share > 2 * self.fraction:
            print(
                f"note: {share:.0%} of the text is held out, for no group (file, folder, package) is smaller; name more "
                f"files, or one file of them all",
                file=sys.stderr,
            )

    def facts(self) -> dict[str, Any]:
        """What `data.json` says about the split."""
        if self.cuts_one or not self.fraction:
            return {"by": "end of the only document" if self.cuts_one else "nothing is held out"}
        by = "document" if self._by_name else "group"
        if self.held_out is None:
            return {"by": f"hash of each {by}"}
        return {"by": by, "held_out": sorted(self.held_out)}

    def __iter__(self) -> Iterator[tuple[bool, Document]]:
        """(whether it is held out, document), in the source's order. Raises UsageError if the text changed meanwhile."""
        documents = size = 0
        for document in self._documents():
            documents += 1
            size += len(document.data)
            if self.cuts_one:
                yield from zip((False, True), cut_in_two(document, self.fraction), strict=True)
            else:
                yield self._is_held_out(document.name if self._by_name else document.group), document
        if (documents, size) != (self.documents, self.bytes):
            raise UsageError("the text changed while it was read; prepare again when it is at rest")

    def _is_held_out(self, unit: str) -> bool:
        if self.held_out is None:
            return drawn(unit, self.fraction, self._seed)
        return unit in self.held_out


class _Sizes:
    """Bytes by unit, until there are too many units."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}
        self.whole = True

    def add(self, unit: str, size: int) -> None:
        if not self.whole:
            return
        self.of[unit] = self.of.get(unit, 0) + size
        if len(self.of) > MOST_UNITS:
            self.whole, self.of = False, {}


def _digest(document: Document, digest: Any, on_bytes: Callable[[float], None]) -> None:
    head = [document.name, document.group, document.score, len(document.data)]
    digest.update(repr(head).encode("utf-8", "surrogatepass"))
    for begin in range(0, len(document.data), _READ_BYTES):
        data = document.data[begin : begin + _READ_BYTES]
        digest.update(data)
        on_bytes(len(data))
