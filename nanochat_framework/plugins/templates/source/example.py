"""A small file for the contract suite: `tests/test_contract.py` compares what the source yields with what is written here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .widget import BETWEEN_PARAGRAPHS


def paragraphs(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Write texts as paragraphs of one file; the settings that name it. Raises ValueError for a text that is no paragraph."""
    written = [text.encode() for text in texts]
    for text in written:
        if text != text.strip() or BETWEEN_PARAGRAPHS.search(text):
            raise ValueError(f"{text!r} has blank lines, or white space at its ends")
    path = folder / "paragraphs.txt"
    path.write_bytes(b"\n\n".join(written))
    return {"paths": [str(path)]}
