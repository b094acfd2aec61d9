"""Files that some components cannot do without, and the settings that name them."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nanochat_framework.cli import main
from nanochat_framework.kernels.table import activate, active

_FOLDER = TemporaryDirectory(prefix="nanochat-contracts-")  # removed when the process ends
FILES = Path(_FOLDER.name)
TEXTS = [f"Document {number}. " + "Once there was a fox, " * number + "and an end.\n" for number in range(1, 9)]


def _written() -> None:
    (FILES / "texts").mkdir()
    for number, text in enumerate(TEXTS):
        (FILES / "texts" / f"{number}.txt").write_text(text)
    (FILES / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        command = ["prepare-data", "--text", str(FILES / "texts"), "--vocab-size", "300", "--output"]
        assert main([*command, str(FILES / "data")]) == 0
    with contextlib.suppress(ImportError):
        from pyarrow import Table, parquet

        parquet.write_table(Table.from_pydict({"text": TEXTS}), FILES / "rows.parquet")


before = active()
_written()
activate(before)  # a command activates its kernels for the whole process

SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("optimizer", "adamw_8bit"): {"compile": False},  # torch's compiler has its own tests, and takes its time
    ("source", "text"): {"paths": [str(FILES / "texts")]},
    ("source", "jsonl"): {"paths": [str(FILES / "rows.jsonl")]},
    ("source", "parquet"): {"paths": [str(FILES / "rows.parquet")]},
    ("source", "tokens"): {"path": str(FILES / "data" / "tokens.bin")},
}
