"""Commands that do not compute import neither torch nor numpy nor textual: proved at run time, in a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import contextlib, io, sys
from nanochat_framework.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    code = main(sys.argv[1:])
heavy = sorted({"torch", "numpy", "textual", "gguf", "tokenizers", "tiktoken", "safetensors"} & set(sys.modules))
print(code, *heavy)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["plugins", "list"],
        ["components", "list"],
        ["components", "show", "optimizer", "muon"],
        ["config", "check", "tiny-cpu"],
        ["config", "show", "nano-125m", "--json"],
        ["plan", "ittybitty-38m", "--json"],
    ],
    ids=" ".join,
)
def test_no_heavy_import(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"], done.stderr
