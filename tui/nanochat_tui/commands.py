"""`nanochat` commands that the dashboard waits for: heavy work happens in processes of their own, never in this one.

Trainings do not belong here: they must outlive the dashboard and are started by `requests.Requests.start`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from nanochat_framework.errors import NanochatError, UsageError

GRACE_SECONDS = 2.0
"""Between asking a command to end and ending it."""
PROGRESS_SECONDS = 0.2
"""How often a command says how far it is."""
LONGEST_LINE = 16 * 1024 * 1024
KEPT_LINES = 1000
"""Of standard error: a command may run for days."""


class Command:
    """A running `nanochat` command: its lines as they come, its standard input, its end.

    It has a process group of its own, so that the terminal's Ctrl-C is not its business, and is ended by `cancel`.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._errors: deque[str] = deque(maxlen=KEPT_LINES)
        self._reading = asyncio.create_task(self._read_errors())

    @classmethod
    async def start(cls, arguments: Sequence[str]) -> Command:
        """Start `nanochat ARGUMENTS`. Raises NanochatError where the system has no room for a further process."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "nanochat_framework",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, "NANOCHAT_PROGRESS_SECONDS": str(PROGRESS_SECONDS)},
                limit=LONGEST_LINE,
            )
        except OSError as error:
            raise NanochatError(cannot_start(error)) from None
        return cls(process)

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        async for line in _lines(self._process.stderr):
            self._errors.append(line.rstrip())

    @property
    def narration(self) -> Sequence[str]:
        """The lines of its standard error so far, the last KEPT_LINES."""
        return self._errors

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def lines(self) -> AsyncIterator[str]:
        """The lines of its standard output, as they come; one longer than LONGEST_LINE is passed over."""
        assert self._process.stdout is not None
        async for line in _lines(self._process.stdout):
            yield line.rstrip("\n")

    async def write(self, text: str) -> None:
        """Give it text on its standard input; in vain where it has ended."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(text.encode())
            await self._process.stdin.drain()

    def end_input(self) -> None:
        """Nothing more is to come on its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def wait(self) -> int:
        """Its exit code, once it has ended and everything it said on its standard error was read."""
        code = await self._process.wait()
        await self._reading
        return code

    def complaint(self) -> str:
        """Why it failed, in one line, from its standard error."""
        lines = [line.removeprefix("error: ") for line in self._errors if line.startswith("error: ")]
        return " ".join(lines) or f"it ended with code {self._process.returncode}"

    async def cancel(self) -> None:
        """Interrupt it as Ctrl-C would, and end it if it is still there after `GRACE_SECONDS`.

        Cancelled itself, as when the dashboard quits, it sees this to its end first: no process is left behind.
        """
        cancelled = False
        for number in (signal.SIGINT, signal.SIGKILL):
            if not self.running:
                break
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            cancelled |= await self._ended_within(GRACE_SECONDS)
        if cancelled:
            raise asyncio.CancelledError

    async def _ended_within(self, seconds: float) -> bool:
        """Wait for its end and that of what it says, but no longer; whether somebody cancelled that."""
        cancelled, deadline = False, time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._process.wait(), left)
                await asyncio.wait((self._reading,), timeout=max(deadline - time.monotonic(), 0))
                break
            except TimeoutError:
                break
            except asyncio.CancelledError:
                cancelled = True
        return cancelled


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines until the stream ends, but those that do not fit in its buffer."""
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # the buffer is empty again, and the line's rest looks like a line of its own
            continue
        if not line:
            return
        yield line.decode("utf-8", "replace")


def cannot_start(error: OSError) -> str:
    """What is said where the system refuses to start a process."""
    return f"nanochat cannot be started ({error.strerror})"


async def ask(*arguments: str) -> Any:
    """The JSON that a `nanochat` command prints; cancelling the task ends the command.

    Raises UsageError with the command's own line where it found the arguments wrong (exit code 2), NanochatError where
    it failed.
    """
    command, text, code = await _run(arguments)
    if code:
        raise (UsageError if code == 2 else NanochatError)(command.complaint())
    try:
        return json.loads(text)
    except ValueError:
        raise NanochatError(f"nanochat {' '.join(arguments)}: printed no JSON") from None


async def answer(*arguments: str) -> tuple[Any, str]:
    """The JSON that a command prints whether it fails or not (None without any), and its complaint."""
    command, text, code = await _run(arguments)
    try:
        return json.loads(text), command.complaint() if code else ""
    except ValueError:
        return None, command.complaint()


async def _run(arguments: Sequence[str]) -> tuple[Command, str, int]:
    """A command that has ended, what it printed, and its code; cancelling the task ends the command."""
    command = await Command.start(arguments)
    command.end_input()
    try:
        text = "\n".join([line async for line in command.lines()])
        return command, text, await command.wait()
    except asyncio.CancelledError:
        await command.cancel()
        raise
