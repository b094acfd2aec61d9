"""What a stranger's code raised, in one line with the place in their code."""

from __future__ import annotations

import traceback
from pathlib import Path

_OURS = Path(__file__).resolve().parent.parent
_LONGEST = 300


def fault(error: BaseException) -> str:
    """`ImportError: what it says (file:line)`: the deepest line of the traceback that is in neither us nor the import system.

    Without such a line (the module itself is missing) only what it says.
    """
    said = " ".join(f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}".split())
    said = said if len(said) <= _LONGEST else said[: _LONGEST - 3] + "..."
    place = _place(error)
    return f"{said} ({place})" if place else said


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        inside = not frame.filename.startswith("<")  # <frozen importlib._bootstrap>, <string>
        if inside and _OURS not in Path(frame.filename).parents and "importlib" not in Path(frame.filename).parts:
            return f"{frame.filename}:{frame.lineno}"
    return ""
