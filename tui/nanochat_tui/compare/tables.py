"""The comparison of runs as tables: a row for each key or metric, a column for each run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from nanochat_framework.runs.compare import Comparison, best, shown
from nanochat_tui.charts.ticks import short
from nanochat_tui.compare.joint import Compared
from nanochat_tui.palette import palette
from nanochat_tui.printable import printable
from nanochat_tui.text_table import TextTable

LONGEST_CELL = 40
BEST = "▸"
Row = tuple[str, tuple[Text, ...]]
"""Its name and a cell for each run."""


def config_rows(found: Comparison) -> list[Row]:
    """The keys that differ."""
    return [(key, tuple(Text(printable(shown(value))) for value in values)) for key, values in found.config.items()]


def metric_rows(found: Comparison) -> list[Row]:
    """The newest value of each metric; the best one is marked."""
    rows = []
    for name, values in found.metrics.items():
        marked = best(name, values)
        cells = [
            Text(f"{BEST} {_figure(name, value)}", f"bold {palette().good}")
            if place in marked
            else Text(_figure(name, value))
            for place, value in enumerate(values)
        ]
        rows.append((name, tuple(cells)))
    return rows


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name.endswith(("/loss", "bits_per_byte", "perplexity", "entropy")):
        return f"{value:.4f}"
    return f"{value:,.0f}" if name == "step" else short(value)


def fill(table: TextTable, runs: Sequence[Compared], rows: Sequence[Row]) -> None:
    """Show rows in a table, cell by cell where it has the same rows already."""
    keys = [name for name, _ in rows]
    if [str(key.value) for key in table.rows] != keys or len(table.columns) != len(runs) + 1:
        table.clear(columns=True)
        table.add_column("", key="name")
        for run in runs:
            head = Text(f"{run.sign} {run.feed.summary.called}", style=f"bold {run.colour}", justify="right")
            head.truncate(LONGEST_CELL, overflow="ellipsis")
            table.add_column(head, key=run.feed.summary.path)
        for name, cells in rows:
            table.add_row(Text(name), *map(_cell, cells), key=name)
        return
    for name, cells in rows:
        for run, cell in zip(runs, cells, strict=True):
            after = _cell(cell)
            if table.get_cell(name, run.feed.summary.path) != after:
                table.update_cell(name, run.feed.summary.path, after, update_width=True)


def _cell(text: Text) -> Text:
    cell = text.copy()
    cell.justify, cell.no_wrap = "right", True
    cell.truncate(LONGEST_CELL, overflow="ellipsis")
    return cell
