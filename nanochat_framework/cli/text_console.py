"""Texts of several lines from a terminal or a pipe, and completions shown behind them."""

from __future__ import annotations

import contextlib
import os
import sys

from nanochat_framework.machine.terminal import why_no_colours

TRIGGER = b"###"
EXIT_WORDS = (b"exit", b"quit")
_GRAY, _NORMAL = "\x1b[90m", "\x1b[0m"


class TextConsole:
    """Reads texts that end with `###` on a line of its own; `interactive` if a person types them.

    On a terminal the text is shown again in gray, and the completion behind it in the normal colour; `NO_COLOR` (or
    TERM=dumb) leaves the colours out. Elsewhere stdout gets the completions alone, each ended by a newline.
    """

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty()
        self._shown = sys.stdout.isatty()
        self._gray, self._normal = (_GRAY, _NORMAL) if self._shown and not why_no_colours() else ("", "")
        if self.interactive:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  (gives `input` editing and history)
            with contextlib.suppress(AttributeError):
                sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]

    def read(self) -> bytes | None:
        """The next text, without the newline before the `###`; None when the person leaves or the input ends.

        The first line of a text may be `exit` or `quit`. What a pipe ends with needs no `###`.
        """
        lines: list[bytes] = []
        while True:
            try:
                line = self._line()
            except KeyboardInterrupt:
                if not self.interactive:
                    raise
                self.note("\nforgotten; Ctrl-D or exit leaves" if lines else "\nCtrl-D or exit leaves")
                lines.clear()
                continue
            if line is None:
                if self.interactive:
                    self.note("")
                return b"\n".join(lines) if lines and not self.interactive else None
            if line.strip() == TRIGGER:
                return b"\n".join(lines)
            if not lines and line.strip() in EXIT_WORDS:
                return None
            lines.append(line)

    def _line(self) -> bytes | None:
        """A line without its end; None where there are no more."""
        if not self.interactive:
            read = sys.stdin.buffer.readline()
            return read.removesuffix(b"\n").removesuffix(b"\r") if read else None
        try:
            if self._shown:
                return os.fsencode(input("> "))
            print("> ", end="", file=sys.stderr, flush=True)
            typed = sys.stdin.readline()
            return os.fsencode(typed.removesuffix("\n")) if typed else None
        except EOFError:
            return None

    def begin(self, text: bytes) -> None:
        """Show the text that is going to be completed, where a person looks."""
        if self._shown:
            print(f"{self._gray}{text.decode('utf-8', 'replace')}{self._normal}", end="", flush=True)

    def show(self, piece: str) -> None:
        """Show more of the completion."""
        print(piece, end="", flush=True)

    def end(self, remark: str) -> None:
        """End the completion; a person reads the remark."""
        print(flush=True)
        self.note(f"[{remark}]")

    def note(self, text: str) -> None:
        """Tell a person something, beside the texts."""
        if self.interactive:
            print(text, file=sys.stderr, flush=True)
