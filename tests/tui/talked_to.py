"""A small model that was trained on text, to be talked to."""

from __future__ import annotations

from pathlib import Path

import tomli_w

from nanochat_framework.cli import main
from nanochat_framework.runs.directory import RunDirectory
from tests.conftest import tiny_dict
from tests.exporters.models import corpus

ENDLESS = 60_000
"""So many tokens take so long that a text is stopped before its end, even where the one who stops it waits for its turn."""


def trained_on_text(folder: Path) -> RunDirectory:
    """The run `runs/first` of six steps, with two checkpoints and a context of 65,536, and `first.gguf` beside `runs`."""
    (folder / "text.txt").write_text(corpus())
    data, config = folder / "data", folder / "tiny.toml"
    prepare = [
        "--text",
        str(folder / "text.txt"),
        "--vocab-size",
        "400",
        "--encoder",
        "tiktoken",
        "--output",
        str(data),
    ]
    assert main(["prepare-data", *prepare]) == 0
    source = {"name": "tokens", "path": str(data / "tokens.bin")}
    changes = {"model__vocab_size": 400, "model__max_seq_len": 65536, "data__source": source}
    config.write_text(tomli_w.dumps(tiny_dict(**changes, checkpoint={"every": 3, "keep_last": 5})))
    assert main(["train", str(config), "--run", "first", "--runs-dir", str(folder / "runs"), "--quiet"]) == 0
    export = ["--to", "gguf", "--output", str(folder / "first.gguf"), "--runs-dir", str(folder / "runs")]
    assert main(["export", "first", *export]) == 0
    return RunDirectory(folder / "runs" / "first")
