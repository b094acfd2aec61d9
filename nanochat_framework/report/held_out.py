"""What a run was trained on, as far as the data still lies where it was: counts, checksums, and what compressors reach."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nanochat_framework.errors import NanochatError

MOST_BYTES = 4_000_000
"""Of held-out text that compressors are given; xz takes a second or two for it."""
_TOKEN_BYTES = 4


@dataclass(frozen=True)
class SourceFacts:
    """One source: how the configuration calls it, the token file, and what the data.json beside that says of both sides."""

    label: str
    weight: float | None
    path: Path | None = None
    held_out: Path | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    missing: bool = False
    """Whether the configuration names a file that is not there."""


def source_facts(source: Mapping[str, Any], run: Path) -> SourceFacts:
    """A source of the resolved configuration; relative paths are tried from here and from beside the runs' folder."""
    name, weight = str(source.get("name", "")), source.get("weight")
    given = source.get("path")
    known = float(weight) if isinstance(weight, int | float) else None
    if not isinstance(given, str):
        return SourceFacts(name, known)
    label = f"{name} {given}"
    path = next((place for place in (Path(given), run.absolute().parent.parent / given) if place.is_file()), None)
    if path is None:
        return SourceFacts(label, known, missing=True)
    other = source.get("validation_path")
    held_out = path.parent / (other if isinstance(other, str) else "val.bin")
    files: Any = {}
    with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
        files = json.loads((path.parent / "data.json").read_bytes()).get("files", {})
    train, validation = (_facts(files, side.name) for side in (path, held_out))
    return SourceFacts(label, known, path, held_out if held_out.is_file() else None, train, validation)


def _facts(files: Any, name: str) -> Mapping[str, Any]:
    found = files.get(name) if isinstance(files, dict) else None
    return found if isinstance(found, dict) else {}


def baselines(sources: Sequence[SourceFacts]) -> tuple[dict[str, float], int]:
    """Bits per byte of general compressors on held-out text, and the bytes they were given; nothing without text.

    Of several sources each gives an equal share.
    """
    sides = [source.held_out for source in sources if source.held_out is not None]
    texts = [_decoded(side, MOST_BYTES // len(sides)) for side in sides]
    text = b"".join(texts)
    if not text or not all(texts):
        return {}, 0
    from nanochat_framework.data.baselines import compressor_baselines

    return compressor_baselines(text), len(text)


def _decoded(path: Path, most_bytes: int) -> bytes:
    """The beginning of a token file as text; nothing where there is no tokenizer beside it, or none that fits."""
    import numpy as np

    from nanochat_framework.data.tokenizer import Tokenizer

    with contextlib.suppress(NanochatError, OSError, ValueError, IndexError):
        tokenizer = Tokenizer.load(path.parent / "tokenizer.json")
        with path.open("rb") as file:
            tokens = np.frombuffer(file.read(most_bytes // _TOKEN_BYTES * _TOKEN_BYTES), dtype="<u4")
        return tokenizer.decode_bytes(tokens)[:most_bytes]
    return b""
