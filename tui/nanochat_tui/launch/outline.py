"""The form's settings as a tree that folds, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.style import Style
from rich.text import Text
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from nanochat_tui.launch.catalogue import Row
from nanochat_tui.launch.draft import shown
from nanochat_tui.palette import palette

NAME_WIDTH = 26


class Outline(Tree[Row]):
    """Rows by their tables. What is folded stays so while rows come and go."""

    DEFAULT_CSS = """
    Outline { background: $background; padding: 0 1; height: 1fr; scrollbar-size: 1 1; overflow-x: hidden; }
    Outline > .tree--cursor { background: $primary 25%; text-style: none; }
    Outline:focus > .tree--cursor { background: $primary 40%; text-style: none; }
    Outline > .tree--guides, Outline > .tree--guides-hover, Outline > .tree--guides-selected { color: $background; }
    """

    def __init__(self) -> None:
        super().__init__("settings")
        self.show_root, self.show_guides, self.guide_depth = False, False, 2
        self.auto_expand = False
        self._folded: set[str] = set()
        self._places: dict[str, TreeNode[Row]] = {}

    def show(self, rows: Sequence[Row], changed: set[str], wrong: Mapping[str, str]) -> None:
        """Rows in their order, each after the table it is in; marks of those that were changed, and what is wrong."""
        if [row.key for row in rows] != list(self._places):
            self._rebuild(rows)
        for row in rows:
            node = self._places[row.key]
            node.data = row
            node.set_label(self._label(row, row.key in changed, wrong.get(row.key, "")))

    def _rebuild(self, rows: Sequence[Row]) -> None:
        at = self.row
        before = list(self._places)
        self.clear()
        self._places = {}
        tables: list[TreeNode[Row]] = [self.root]
        for row in rows:
            del tables[row.depth + 1 :]
            parent = tables[-1]
            if row.is_table:
                node = parent.add("", row, expand=row.key not in self._folded)
                tables.append(node)
            else:
                node = parent.add_leaf("", row)
            self._places[row.key] = node
        if at is not None:
            self.select(at.key if at.key in self._places else _nearest(at.key, before, self._places))
        elif rows:
            self.select(rows[0].key)

    def _label(self, row: Row, changed: bool, wrong: str) -> Text:
        indent = 2 * row.depth
        room = max(self.size.width - indent - 6, 10)
        name_width = max(min(NAME_WIDTH, room // 2) - indent, 8)
        text = Text(no_wrap=True)
        name = Text(row.name, style="bold" if row.is_table else "")
        name.truncate(name_width, overflow="ellipsis", pad=True)
        value = Text(shown(row) or ("" if row.is_table else "-"), style=palette().curves[1] if changed else "")
        text.append(
            "● " if changed else "✗ " if wrong else "  ",
            palette().curves[1] if changed and not wrong else palette().alert,
        )
        text.append_text(name).append(" ").append_text(value)
        if wrong:
            text.append(f"  {wrong}", palette().alert)
        elif not changed and row.value is not None and row.value == row.default and not row.is_table:
            text.append("  default", palette().faint)
        text.truncate(room, overflow="ellipsis")
        return text

    def render_label(self, node: TreeNode[Row], base_style: Style, style: Style) -> Text:
        """The label behind a sign that says whether it is folded."""
        label = node.label.copy() if isinstance(node.label, Text) else Text(str(node.label))
        label.stylize(Style(bgcolor=style.bgcolor))
        sign = ("▾ " if node.is_expanded else "▸ ") if node.allow_expand else "  "
        return Text.assemble((sign, Style.parse(palette().faint) + Style(bgcolor=style.bgcolor)), label)

    def action_toggle_node(self) -> None:
        """Fold or unfold; a setting is changed."""
        node = self.cursor_node
        if node is not None and not node.allow_expand:
            self.action_select_cursor()
        else:
            super().action_toggle_node()

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        node = self.cursor_node
        return None if node is None else node.data

    def select(self, key: str) -> None:
        """Put the cursor on a row, and unfold what it is in."""
        node = self._places.get(key)
        if node is None:
            return
        parent = node.parent
        while parent is not None:
            parent.expand()
            parent = parent.parent
        self.call_after_refresh(self.move_cursor, node)

    def on_resize(self) -> None:
        """Keep the row under the cursor in sight."""
        if self.cursor_node is not None:
            self.call_after_refresh(self.scroll_to_node, self.cursor_node, animate=False)

    def on_tree_node_collapsed(self, event: Tree.NodeCollapsed[Any]) -> None:
        """Remember it."""
        if event.node.data is not None:
            self._folded.add(event.node.data.key)

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[Any]) -> None:
        """Remember it."""
        if event.node.data is not None:
            self._folded.discard(event.node.data.key)


def _nearest(key: str, before: Sequence[str], now: Mapping[str, Any]) -> str:
    """The row that is where one that is gone was."""
    place = before.index(key) if key in before else 0
    return next((each for each in [*before[place::-1], *before[place:]] if each in now), "")
