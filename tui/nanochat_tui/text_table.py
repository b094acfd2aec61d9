"""Textual's table, without the columns that it forgets to draw again.

`DataTable` measures its columns when it has nothing else to do, and keeps lines that it drew before that with the old
widths: a cell added in that moment stays cut off until something else changes (Textual's open issues 3533 and 4470).
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.widgets import DataTable
from textual.widgets.data_table import RowKey


class TextTable(DataTable[Text]):
    """A table of texts whose lines are drawn anew when its columns were measured."""

    _widths: tuple[int, ...] = ()

    def _update_dimensions(self, new_rows: Iterable[RowKey]) -> None:
        rows = list(new_rows)
        super()._update_dimensions(rows)
        widths = tuple(column.content_width for column in self.columns.values())
        if rows or widths != self._widths:
            self._widths = widths
            self._clear_caches()
            self.refresh()
