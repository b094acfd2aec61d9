"""The errors a person meets: each is one clear line and carries the process's exit code.

Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 stopped on request, 4 a plugin is missing.
`assert` is for mistakes of the programmer; these classes are for everything a user can cause or cure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its type where it says nothing."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__


class NanochatError(Exception):
    """Something failed for a reason that one line can tell: what, where, and what to do about it."""

    exit_code = 1


class UsageError(NanochatError):
    """The request cannot be met as it was made (a wrong argument, file or setting)."""

    exit_code = 2


class StoppedOnRequest(NanochatError):
    """The work ended early because somebody asked for it; nothing is lost."""

    exit_code = 3


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a configuration.

    `where` is `file:line` or `--set key`, `path` the dotted path of the key, `message` what is wrong with it and what
    would be right.
    """

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        parts = [part for part in (self.where, self.path, self.message) if part]
        return ": ".join(parts)


class ConfigError(UsageError):
    """Everything that is wrong with a configuration, all at once, one line each.

    `exit_code` is 4 where all that is wrong is a plugin that is not installed, is disabled, or failed to load.
    """

    def __init__(self, problems: Sequence[Problem], *, exit_code: int = 2) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.exit_code = exit_code
