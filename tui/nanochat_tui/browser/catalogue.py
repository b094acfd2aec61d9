"""What `nanochat components` and `nanochat plugins` know, asked once and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from nanochat_tui.commands import ask

Row = Mapping[str, Any]


class Catalogue:
    """Components with their settings, plugins, and the laws of kinds by kind; each is empty until its process answered."""

    def __init__(self) -> None:
        self.components: Sequence[Row] = ()
        self.plugins: Sequence[Row] = ()
        self.laws: Mapping[str, Row] = {}

    async def load(self) -> None:
        """List components and plugins. Raises NanochatError."""
        self.components, self.plugins = await asyncio.gather(
            ask("components", "list", "--settings", "--json"), ask("plugins", "list", "--json")
        )

    async def load_laws(self) -> None:
        """The laws, which takes longer: whoever knows them has torch. Raises NanochatError."""
        self.laws = {row["kind"]: row for row in await ask("components", "laws", "--json")}


def matching(rows: Sequence[Row], wanted: str) -> list[Row]:
    """Rows that have every word somewhere, in whatever case."""
    words = wanted.lower().split()
    return [row for row in rows if all(word in _text(row) for word in words)]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_text(item) for item in value.values())
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value))
    return str(value).lower()
