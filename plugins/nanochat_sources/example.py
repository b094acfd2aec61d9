"""Small files of each source's format, which the contract suite holds the sources to (`testing.example_files`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np

from nanochat_framework.data.token_store import DATA_JSON, SCHEMA_VERSION, START_DTYPE, TOKEN_DTYPE, sha256_of
from nanochat_sources.parquet import pyarrow_for


def text_files(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """A folder of text files, which are read in the order of their names."""
    for number, text in enumerate(texts):
        (folder / f"{number:03}.txt").write_bytes(text.encode())
    return {"paths": [str(folder)]}


def json_lines(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Two files, the first half of the rows in one and the rest in the other."""
    half = len(texts) // 2
    paths = [folder / "first.jsonl", folder / "second.jsonl"]
    for path, rows in zip(paths, (texts[:half], texts[half:]), strict=True):
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    return {"paths": [str(path) for path in paths]}


def parquet_rows(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """One file of groups of two rows. Raises UsageError without pyarrow."""
    path = folder / "rows.parquet"
    arrow, parquet = pyarrow_for(path)
    parquet.write_table(arrow.table({"text": list(texts)}), path, row_group_size=2)
    return {"paths": [str(path)]}


def token_files(folder: Path, documents: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Training tokens with their starts and `data.json`, as `nanochat prepare-data` writes them."""
    path = folder / "tokens.bin"
    ids = np.array([*chain.from_iterable(documents)], dtype=TOKEN_DTYPE)
    ids.tofile(path)
    starts = [0, *accumulate(map(len, documents))][:-1]
    np.array(starts, dtype=START_DTYPE).tofile(path.with_suffix(".starts.bin"))
    facts = {"tokens": len(ids), "documents": len(documents), "bytes": 0, "sha256": sha256_of(path)}
    data = {"schema_version": SCHEMA_VERSION, "tokenizer_sha256": "", "files": {path.name: facts}}
    (folder / DATA_JSON).write_text(json.dumps(data))
    return {"path": str(path)}
