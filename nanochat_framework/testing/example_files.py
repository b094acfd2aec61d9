"""Files of a source's own format, made by its author's hook, so that what is read can be compared with what was written.

A source is registered with `example="module:function"`. The function is handed a new, empty folder and what its files are to
hold, and returns the settings that name them::

    def write(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
        if any("\\n" in text for text in texts):
            raise ValueError("a line has no line breaks")
        path = folder / "lines.txt"
        path.write_text("".join(f"{text}\\n" for text in texts), newline="")
        return {"path": str(path)}

Of a source of tokens it takes the ids of each document instead. It raises ValueError for what its format has no way to hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest

from nanochat_framework.errors import UsageError
from nanochat_framework.plugins.component import Component, resolve

TEXTS = (
    "One line.",
    "Two lines,\nof which the second ends.\n",
    "  blanks before, a\ttab, and blanks behind  ",
    "lines of\r\nanother system\r\n",
    "déjà vu, 你好, 🦊, and a line separator \u2028 inside",
    "\n\nblank lines at both ends,\n\n\nand within\n\n",
    'quotes " and \\, {"text": "braces"}, <tags>',
    "the characters \x00 and \x1f",
)
TOKENS = ((1, 2, 3), (4,), (0, 5, 4, 3, 2, 2, 1), (65_535, 65_536, 100_000))
"""Documents, by their ids; the ids fit `testing.source.VOCAB_SIZE`."""
FEWEST = 3
"""Of what there is to write, an example must be able to hold so many."""
Content = str | tuple[int, ...]


def has_example(component: Component) -> bool:
    """Whether a component was registered with one."""
    return component.traits.get("example") is not None


def written(component: Component, folder: Path) -> tuple[dict[str, Any], list[Content]]:
    """The settings that name new files below a folder, and what was written to them: what the format can hold, in order.

    Raises AssertionError for an example that does not do its part, SkipTest where it says which package it needs.
    """
    write = resolve(component.traits["example"])
    everything: Sequence[Content] = TEXTS if component.traits["yields"] == "documents" else TOKENS
    held = [each for number, each in enumerate(everything) if _can_hold(write, folder / f"alone_{number}", each)]
    assert len(held) >= FEWEST, f"{component.traits['example']} can hold {len(held)} of {len(everything)} documents"
    return dict(_made(write, folder / "together", held)), held


def _can_hold(write: Any, folder: Path, content: Content) -> bool:
    try:
        _made(write, folder, [content])
    except ValueError:
        return False
    return True


def _made(write: Any, folder: Path, contents: Sequence[Content]) -> Mapping[str, Any]:
    folder.mkdir()
    try:
        settings = write(folder, contents)
    except UsageError as error:
        if "pip install" in str(error):
            raise SkipTest(str(error)) from None
        raise
    assert isinstance(settings, Mapping), f"the example returns a {type(settings).__name__}, not settings by name"
    return settings
