"""Files that some components cannot do without, and the settings that name them."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nanochat_framework.cli import main
from nanochat_framework.contracts.exporter import Exporter, ModelBundle
from nanochat_framework.inference.bundle import tensors_of
from nanochat_framework.kernels.table import activate, active
from nanochat_framework.model.build import build_model
from nanochat_framework.plugins import load_plugins
from nanochat_framework.testing import Subject
from nanochat_framework.testing.objective import VOCAB_SIZE

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


def _teacher() -> None:
    """A model of as many tokens as the suite's objectives are built for."""
    registry = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry
    model = Subject.of("model", "decoder", registry, {"vocab_size": VOCAB_SIZE}).selected()
    tensors = tensors_of(build_model(model, seed=3))
    bundle = ModelBundle(model, (), model.config.describe(), tensors, None, {"name": "teacher"})
    exporter: Exporter = Subject.of("exporter", "safetensors", registry).build()
    exporter.export(bundle, FILES / "teacher.safetensors")


before = active()
_written()
_teacher()
activate(before)  # a command activates its kernels for the whole process

SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("optimizer", "adamw_8bit"): {"compile": False},  # torch's compiler has its own tests, and takes its time
    ("objective", "distillation"): {"teacher": str(FILES / "teacher.safetensors")},
    ("objective", "entropy"): {"weight": -0.1},  # it is only measured otherwise
    ("source", "text"): {"paths": [str(FILES / "texts")]},
    ("source", "jsonl"): {"paths": [str(FILES / "rows.jsonl")]},
    ("source", "parquet"): {"paths": [str(FILES / "rows.parquet")]},
    ("source", "tokens"): {"path": str(FILES / "data" / "tokens.bin")},
}
