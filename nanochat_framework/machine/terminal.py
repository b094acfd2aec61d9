"""What a terminal may be shown."""

from __future__ import annotations

import os


def why_no_colours() -> str:
    """Why output has to be plain (https://no-color.org); empty where colours are welcome."""
    if os.environ.get("NO_COLOR"):
        return "NO_COLOR is set"
    return "TERM=dumb" if os.environ.get("TERM") == "dumb" else ""
