"""The chart as a widget: drawn again only when its data, its view or its size changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from nanochat_tui.charts.curve import Curve
from nanochat_tui.charts.picture import Picture, draw
from nanochat_tui.charts.plot import Plot
from nanochat_tui.charts.view import View
from nanochat_tui.palette import Palette, palette

ZOOM_STEP = 0.7


@cache
def _styles(colours: Palette) -> dict[str, Style]:
    """Role of a piece -> its style."""
    named = {"title": "bold", "note": colours.note, "axis": colours.faint, "alert": f"bold {colours.alert}"}
    styles = {role: Style.parse(words) for role, words in named.items()}
    styles |= {"cursor": styles["note"], "blank": Style()}
    for number, colour in enumerate(colours.curves):
        styles[f"line.{number}"] = Style.parse(colour)
        styles[f"faint.{number}"] = Style.parse("dim" if colours.plain else _faint(colour, colours.background))
    return styles


def _faint(colour: str, background: str) -> str:
    """The colour on its way to the background."""
    pairs = [(int(colour[i : i + 2], 16), int(background[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(0.42 * part + 0.58 * behind):02x}" for part, behind in pairs)


class Chart(Widget):
    """A chart of up to seven curves. Charts with one `view` show one stretch, and a cursor at one place."""

    DEFAULT_CSS = "Chart { height: 1fr; }"

    class Viewed(Message):
        """The view changed under a chart's mouse; others that share it are to be drawn again."""

    def __init__(
        self,
        title: str,
        curves: Sequence[Curve],
        view: View,
        *,
        log: bool = False,
        span: Callable[[], tuple[float, float] | None] = lambda: None,
        id: str | None = None,
    ) -> None:
        """`span` tells the whole x axis, where several charts are to have the same."""
        super().__init__(id=id)
        self.title, self.curves, self.view, self.log_scale, self._span = title, list(curves), view, log, span
        self._drawn: tuple[object, ...] = ()
        self._picture, self._plot = Picture([]), Plot()
        self.redraws = 0
        """How often it was drawn, for those who look after the idle dashboard."""

    def _key(self, size: Size) -> tuple[object, ...]:
        versions = tuple(curve.series.version for curve in self.curves)
        view = self.view
        return (
            size,
            versions,
            view.axis,
            view.smoothing,
            view.zoom,
            view.cursor,
            self.log_scale,
            self._span(),
            self.title,
        )

    def update(self) -> None:
        """To be called when there may be something new; draws the rows that are different."""
        if self._key(self.size) == self._drawn:
            return
        before = self._picture.rows
        after = self.picture().rows
        if len(before) != len(after):
            self.refresh()
            return
        width = self.size.width
        changed = [Region(0, y, width, 1) for y, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
        if changed:
            self.refresh(*changed)

    def picture(self) -> Picture:
        """The chart as it is now."""
        key = self._key(self.size)
        if key != self._drawn:
            self.redraws += 1
            self._drawn = key
            self._picture = draw(
                self.curves,
                self.size.width,
                self.size.height,
                self.view,
                title=self.title + (" (log)" if self.log_scale else ""),
                log=self.log_scale,
                span=self._span(),
                dashed=palette().plain,
                plot=self._plot,
            )
        return self._picture

    def render_line(self, y: int) -> Strip:
        """One row, in Textual's terms."""
        rows = self.picture().rows
        base, styles = self.rich_style, _styles(palette())
        pieces = rows[y] if y < len(rows) else []
        strip = Strip([Segment(text, base + styles[role]) for text, role in pieces if text])
        return strip.adjust_cell_length(self.size.width, base)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """The cursor follows the mouse."""
        self._to(event.x)

    def _to(self, x: int) -> None:
        place = self._picture.place(x)
        if place is not None and place != self.view.cursor:
            self.view.cursor = place
            self.post_message(self.Viewed())

    def on_click(self, event: events.Click) -> None:
        """To the mouse, on terminals that tell of clicks and of no movement."""
        self._to(event.x)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """See less, around the mouse."""
        self._zoom(event, ZOOM_STEP)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """See more."""
        self._zoom(event, 1 / ZOOM_STEP)

    def _zoom(self, event: events.MouseEvent, factor: float) -> None:
        """Where there is something to scroll the wheel scrolls, unless ctrl, alt or shift is held."""
        parent, span = self.parent, self._span() or self._picture.span
        scrolls = isinstance(parent, Widget) and parent.max_scroll_y > 0
        if span[1] <= span[0] or (scrolls and not (event.ctrl or event.meta or event.shift)):
            return
        event.stop()
        event.prevent_default()
        self._to(event.x)
        self.view.scale(factor, span)
        self.post_message(self.Viewed())

    def on_leave(self) -> None:
        """No cursor where there is no mouse."""
        if self.view.cursor is not None and not self.is_mouse_over:
            self.view.cursor = None
            self.post_message(self.Viewed())
