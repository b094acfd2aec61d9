"""What one look came to: a line saying what, and a line saying what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, PROBLEM = "ok", "note", "problem"
"""ok: as it should be. note: it works, and something would be better. problem: something will fail."""


@dataclass(frozen=True)
class Finding:
    """`subject` is the heading it stands under, `level` ok, note or problem; `todo` is empty only where nothing is to be done."""

    subject: str
    level: str
    what: str
    todo: str = ""
