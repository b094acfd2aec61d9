"""Prompts as a person gives them: on the command line, through a pipe, in a file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nanochat_framework.errors import UsageError
from nanochat_framework.machine.reading import read_named


@dataclass(frozen=True)
class Prompt:
    """Bytes to go on from, UTF-8 or not, and where they came from, for messages ("" where there is only one)."""

    text: bytes
    where: str


def read_prompts(given: Sequence[str], file: Path | None) -> list[Prompt]:
    """The `--prompt` texts (one of them may be `-`, stdin), then those of `--prompts-file`; at least one.

    Raises UsageError.
    """
    if list(given).count("-") > 1:
        raise UsageError("--prompt - reads stdin, and can do so once")
    several = len(given) > 1 or file is not None
    texts = [sys.stdin.buffer.read() if text == "-" else os.fsencode(text) for text in given]
    prompts = [Prompt(text, f"--prompt {number}" if several else "") for number, text in enumerate(texts, 1)]
    if file is not None:
        prompts += _from_file(file)
    if not prompts:
        raise UsageError(f"{file}: has no prompts" if file is not None else "say what to go on from: --prompt TEXT")
    return prompts


def _from_file(path: Path) -> list[Prompt]:
    """A prompt a line, empty lines passed over. A line of a .jsonl file is a JSON string, or an object with "prompt"."""
    try:
        lines = read_named(path).splitlines()
    except OSError as error:
        raise UsageError(f"--prompts-file {path}: {error.strerror}") from None
    places = [(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if path.suffix.lower() != ".jsonl":
        return [Prompt(line, where) for line, where in places]
    return [Prompt(_from_json(line, where), where) for line, where in places]


def _from_json(line: bytes, where: str) -> bytes:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{where}: not JSON ({error})") from None
    text = value.get("prompt") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise UsageError(f'{where}: say a JSON string, or an object with a "prompt" that is one')
    return text.encode("utf-8", "surrogatepass")
