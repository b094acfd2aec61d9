"""The argument parser of every command: a mistake is one line, and says what was probably meant."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from nanochat_framework.errors import UsageError


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations (`--check` must not mean `--checkpoint-dir`) whose complaint is a UsageError."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings.setdefault("allow_abbrev", False)
        super().__init__(*arguments, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with what is wrong and where to read on."""
        raise UsageError(f"{message} (`{self.prog} --help`)")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse everything. Raises UsageError for what is left over, naming the option that is most like it."""
        parsed, left = self.parse_known_args(arguments)
        if left:
            self.error(self._explain(left[0]))
        return parsed

    def _explain(self, left: str) -> str:
        if not left.startswith("-"):
            return f"unexpected argument {left!r}"
        import difflib

        word = left.partition("=")[0]
        near = difflib.get_close_matches(word, _options(self), n=1)
        return f"unknown option {word}" + (f"; did you mean {near[0]}?" if near else "")


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every option of a parser and of the parsers below it."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _options(below)
