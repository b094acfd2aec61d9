"""A table is drawn whole, whenever Textual happens to draw it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from rich.text import Text
from textual.app import App, ComposeResult

from nanochat_tui.text_table import TextTable
from tests.tui.run_folders import text_of, until


class OneTable(App[None]):
    def compose(self) -> ComposeResult:
        yield TextTable(fixed_columns=1)


def fill(table: TextTable, name: str) -> None:
    table.clear(columns=True)
    table.add_column("", key="name")
    table.add_column("first", key="first")
    table.add_row(Text(name), Text("1"), key=name)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: fill(table, "schedule.decay"),
        lambda table: table.update_cell("schedule.steps", "first", Text("a longer value"), update_width=True),
    ],
    ids=["another row of the same length", "a longer cell"],
)
def test_cells_drawn_before_they_were_measured_are_drawn_again(change: Callable[[TextTable], None]) -> None:
    async def session() -> None:
        app = OneTable()
        async with app.run_test(size=(40, 6)) as pilot:
            table = app.query_one(TextTable)
            fill(table, "schedule.steps")
            text_of(app)  # draws before Textual has measured
            await until(lambda: "schedule.steps" in text_of(app), pilot.pause)
            change(table)
            text_of(app)
            cells = [str(cell) for cell in table.get_row_at(0)]
            await pilot.pause()
            assert text_of(app).splitlines()[1].split() == " ".join(cells).split()

    asyncio.run(session())
