"""The log's tab: what the training said, searched and followed."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from nanochat_tui.feed import RunFeed
from nanochat_tui.keys import hint
from nanochat_tui.log_view import LogView


class LogTab(Vertical):
    """A field for a text, the lines, and a line that tells how they are looked at."""

    DEFAULT_CSS = """
    LogTab #log-filter { height: 1; border: none; padding: 0 1; background: $surface; }
    LogTab #log-state { height: 1; color: $text-muted; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._needle = ""
        self._only = True
        """Whether only lines with the text are shown; else they stand among the others."""
        self._shown: tuple[object, ...] = ()
        self._feed: RunFeed | None = None

    def compose(self) -> ComposeResult:
        """Field, lines, state."""
        yield Input(placeholder="a text of the lines that are wanted", id="log-filter", compact=True)
        yield LogView(id="log-lines")
        yield Static(id="log-state", markup=False)

    def on_mount(self) -> None:
        """Without a search."""
        self.query_one("#log-filter").display = False

    @property
    def view(self) -> LogView:
        """The lines."""
        return self.query_one(LogView)

    def bring_up_to_date(self, feed: RunFeed) -> None:
        """Show what the log has, or has further."""
        self._feed = feed
        wanted = (self._needle, self._only)
        before, self._shown = self._shown, (feed.log_version, *wanted)
        if before != self._shown:
            new = feed.log_version - int(str(before[0])) if before[1:] == wanted else len(feed.log)
            self.view.needle = self._needle
            if new >= len(feed.log):
                self.view.show(self._matching(feed.log))
            else:
                self.view.append(self._matching(feed.log[-new:]))
        self._say()

    def _matching(self, lines: list[str]) -> list[str]:
        if not (self._needle and self._only):
            return lines
        return [line for line in lines if self._needle in line.lower()]

    def _say(self) -> None:
        """Following or not; how many lines have the text, and at which of them we are."""
        view = self.view
        follow = "following" if view.follow else f"not following; {hint('follow')} or end follows"
        parts = [follow, f"{view.line_count:,} lines"]
        if self._needle:
            places = view.places()
            at = f"{places.index(view.here) + 1:,} of " if view.here in places else ""
            parts.append(f"{at}{len(places):,} with {self._needle!r}")
            both = f"{hint('match_n')} {hint('match_N')}: next, previous among all lines"
            parts.append(both if places else "")
            parts.append(f"{hint('only_matches')}: {'all lines' if self._only else 'only these'}")
        text = " " + "   ".join(part for part in parts if part)
        state = self.query_one("#log-state", Static)
        if str(state.content) != text:
            state.update(text)

    def ask(self) -> None:
        """Type a text; while it is typed only lines with it are shown."""
        field = self.query_one("#log-filter", Input)
        self._only, field.display = True, True
        self.screen.set_focus(field)  # at once: the next key is already for it

    def give_up(self) -> bool:
        """No search any more; whether there was one."""
        field = self.query_one("#log-filter", Input)
        if not field.display:
            return False
        field.value, field.display = "", False
        self.screen.set_focus(self.view)
        return True

    @on(Input.Changed, "#log-filter")
    def _typed(self, event: Input.Changed) -> None:
        self._needle = event.value.lower()
        self._again()

    @on(Input.Submitted, "#log-filter")
    def _done(self) -> None:
        self.screen.set_focus(self.view)

    @on(LogView.Moved)
    def _moved(self) -> None:
        self._say()

    def _again(self) -> None:
        if self._feed is not None:
            self.bring_up_to_date(self._feed)

    def only_matches(self) -> None:
        """All lines, or only those with the text."""
        if self._needle:
            self._only = not self._only
            self._again()

    def next_match(self, direction: int) -> None:
        """To the next line with the text, or the previous one, among all lines; from the last on to the first."""
        if not self._needle:
            self.ask()
            return
        if self._only:
            self._only = False
            self._again()
        view, places = self.view, self.view.places()
        if not places:
            self._say()
            return
        here = view.here if view.here is not None else view.scroll_offset.y - (direction > 0)
        later = [place for place in places if place > here]
        earlier = [place for place in places if place < here]
        view.jump((later or places)[0] if direction > 0 else (earlier or places)[-1])
        self._say()
