"""Components and plugins: a list that can be searched, and what is known of the one under the cursor."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerError

from nanochat_framework.errors import NanochatError
from nanochat_tui.base_screen import DashboardScreen
from nanochat_tui.browser.catalogue import Catalogue, Row, matching
from nanochat_tui.browser.pages import component_page, plugin_page, state_sign
from nanochat_tui.footer import KeysFooter
from nanochat_tui.keys import bindings, hint
from nanochat_tui.palette import palette
from nanochat_tui.printable import printable

COMPONENTS, PLUGINS = "components", "plugins"


class BrowserScreen(DashboardScreen):
    """Two lists, components by kind and plugins; child processes know them, this one imports none."""

    BINDINGS = bindings("browser")
    AUTO_FOCUS = "OptionList"
    where = "browser"
    DEFAULT_CSS = """
    BrowserScreen #search { height: 1; border: none; padding: 0 1; background: $surface; }
    BrowserScreen #both { height: 1fr; }
    BrowserScreen OptionList {
        width: 34; max-width: 40%; height: 1fr; border: none; border-right: solid $panel; padding: 0;
        background: $background; scrollbar-size-vertical: 1; text-wrap: nowrap; text-overflow: ellipsis;
    }
    BrowserScreen OptionList:focus { border: none; border-right: solid $primary; background-tint: $foreground 0%; }
    BrowserScreen #page-scroll { width: 1fr; height: 1fr; padding: 0 1 0 2; scrollbar-size-vertical: 1; }
    BrowserScreen #page { height: auto; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.catalogue = Catalogue()
        self._what = COMPONENTS
        self._listed: dict[str, Row] = {}
        """Rows by the ids of options."""
        self._fault = ""
        self._loading: Worker[None]

    def compose(self) -> ComposeResult:
        """Heading, search, list and page, keys."""
        yield Static(id="heading", markup=False)
        yield Input(placeholder="words of a name, a kind, a vendor, a summary", id="search", compact=True)
        with Horizontal(id="both"):
            yield OptionList(markup=False)
            with VerticalScroll(id="page-scroll"):
                yield Static(id="page", markup=False)
        yield KeysFooter()

    def on_mount(self) -> None:
        """Ask for the lists."""
        self.query_one("#search").display = False
        self._heading()
        self._loading = self.run_worker(self._load(), group="load", exit_on_error=False)

    async def on_unmount(self) -> None:
        """What is still being asked is not wanted any more."""
        self._loading.cancel()
        with contextlib.suppress(WorkerError):
            await self._loading.wait()

    async def _load(self) -> None:
        """First what is listed, then the laws."""
        try:
            await self.catalogue.load()
            self._show_list()
            await self.catalogue.load_laws()
        except NanochatError as error:
            self._fault = str(error)
        self._heading()
        self._show_page()

    def _rows(self) -> Sequence[Row]:
        rows = self.catalogue.components if self._what == COMPONENTS else self.catalogue.plugins
        return matching(rows, self.query_one("#search", Input).value)

    def _heading(self) -> None:
        catalogue = self.catalogue
        if self._fault:
            said = Text(f" {printable(self._fault)}", palette().alert)
        elif not catalogue.plugins:
            said = Text(" asking what is installed…", palette().faint)
        else:
            wrong = sum(plugin["state"] not in ("ok", "disabled") for plugin in catalogue.plugins)
            counts = {COMPONENTS: len(catalogue.components), PLUGINS: len(catalogue.plugins)}
            said = Text(" ")
            for what, count in counts.items():
                key, shown = hint(f"what_{what}"), len(self._rows()) if what == self._what else count
                of = "" if shown == count else f"{shown} of "
                said.append(f"{key} {of}{count} {what}", "bold reverse" if what == self._what else "").append("   ")
            if wrong:
                said.append(f"✗ {wrong} plugin{'s' * (wrong > 1)} did not load", palette().alert)
        self.query_one("#heading", Static).update(said)

    def _show_list(self) -> None:
        """The rows that the search leaves; of components under headings of their kinds."""
        options, rows, before = self.query_one(OptionList), self._rows(), self._chosen()
        self._listed, found = {}, []
        kind = None
        for row in rows:
            if self._what == COMPONENTS and row["kind"] != kind:
                kind = row["kind"]
                found.append(Option(Text(kind, f"bold {palette().faint}"), disabled=True))
            name = f"{row.get('kind', '')}:{row['name']}:{row.get('module', '')}"
            self._listed[name] = row
            found.append(Option(self._line(row), id=name))
        options.clear_options()
        options.add_options(found)
        places = [place for place, option in enumerate(found) if option.id is not None]
        again = [place for place in places if before is not None and self._listed[found[place].id or ""] == before]
        options.highlighted = next(iter(again or places), None)
        self._heading()
        if not places:
            self.query_one("#page", Static).update("nothing is like this" if self.catalogue.plugins else "")

    def _line(self, row: Row) -> Text:
        if self._what == COMPONENTS:
            return Text(f"  {printable(row['name'])}")
        sign, colour = state_sign(row["state"])
        said = "" if row["state"] == "ok" else f"  {row['state']}"
        return Text.assemble((f"{sign} ", colour), printable(row["name"]), (said, colour))

    def _chosen(self) -> Row | None:
        option = self.query_one(OptionList).highlighted_option
        return None if option is None else self._listed.get(option.id or "")

    @on(OptionList.OptionHighlighted)
    def _another(self) -> None:
        """Another row is under the cursor."""
        self.query_one("#page-scroll").scroll_home(animate=False)
        self._show_page()

    def _show_page(self) -> None:
        row = self._chosen()
        if row is None:
            return
        if self._what == PLUGINS:
            page = plugin_page(row, self.catalogue.components)
        else:
            unknown = self._fault or "asking for the laws of its kind…"
            page = component_page(row, self.catalogue.laws.get(row["kind"], unknown))
        self.query_one("#page", Static).update(page)

    def action_what(self, what: str) -> None:
        """The other list."""
        self._what = what
        self._show_list()

    def action_search(self) -> None:
        """Type what is looked for."""
        field = self.query_one("#search", Input)
        field.display = True
        self.set_focus(field)  # at once: the next key is already for it

    @on(Input.Changed, "#search")
    def _typed(self) -> None:
        self._show_list()

    @on(Input.Submitted, "#search")
    def _search_done(self) -> None:
        self.set_focus(self.query_one(OptionList))

    def action_back(self) -> None:
        """Out of the search, else to the runs."""
        field = self.query_one("#search", Input)
        if field.display:
            field.value, field.display = "", False
            self.set_focus(self.query_one(OptionList))
        else:
            self.dismiss()

    def recolour(self) -> None:
        """Write everything again."""
        self._show_list()
        self._show_page()
