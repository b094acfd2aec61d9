"""Talking to a model: texts to go on from, or a conversation, token by token as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static, TextArea

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui.base_screen import DashboardScreen
from nanochat_tui.chat.choosing import choose_model
from nanochat_tui.chat.model_process import Event, ModelProcess
from nanochat_tui.chat.models import title
from nanochat_tui.chat.settings import fields, taken, written
from nanochat_tui.chat.talk import Mode, Talk, Turn
from nanochat_tui.footer import KeysFooter
from nanochat_tui.forms import Form, Values
from nanochat_tui.keys import KEYS, bindings, hint, keys_of
from nanochat_tui.palette import palette
from nanochat_tui.printable import printable

DRAW_SECONDS = 0.05
IN_ORDER = ("send", "new_line", "page_pageup", "page_pagedown")
"""Keys of the table that the field for typing sees to."""
ALWAYS_SHOWN = ("temperature", "top_k", "max_tokens", "seed")


class Typed(TextArea):
    """What is typed. Enter sends it, and the keys that turn pages are the talk's.

    They are handled in the order in which they are typed, as bindings are not: a line that comes in one piece, as through
    tmux or a slow connection, must be there before it is sent.
    """

    async def _on_key(self, event: events.Key) -> None:
        wanted = (key for key in KEYS if "chat" in key.where and key.name in IN_ORDER and event.key in keys_of(key))
        action = next((key.action for key in wanted), None)
        if action is not None:
            event.stop()
            event.prevent_default()
            await self.screen.run_action(action)


class ChatScreen(DashboardScreen):
    """One model in a process of its own, which ends with this screen; several talks are several screens."""

    BINDINGS = bindings("chat")
    AUTO_FOCUS = "Typed"
    where = "chat"
    DEFAULT_CSS = """
    ChatScreen #talk { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    ChatScreen #welcome { margin-bottom: 1; }
    ChatScreen .turn { height: auto; margin-bottom: 1; }
    ChatScreen #settings {
        height: 2; padding: 0 1; color: $text-muted; border-top: solid $primary; text-overflow: ellipsis; text-wrap: nowrap;
    }
    ChatScreen Typed { height: auto; max-height: 40%; padding: 0 1; }
    """

    def __init__(self, model: Path, run: RunDirectory | None = None) -> None:
        """`run`: whose checkpoints are offered beside other files."""
        super().__init__()
        self.run = run
        self.talk = Talk()
        self.mode: Mode = "complete"
        self._path = model
        self._process: ModelProcess
        self._facts: Mapping[str, Any] = {}
        self._settings: Mapping[str, Any] = {}
        self._state = ("loading", "")
        self._started = 0.0
        self._views: dict[int, Static] = {}
        """Views of turns, by the turn's place."""
        self._changed: set[int] = set()
        self._follows = True
        """Whether the end of the talk is to be in sight."""
        self._rest_until = 0.0
        self._verdict: asyncio.Future[str] | None = None
        """Of the process, on the settings that it was handed last."""

    def compose(self) -> ComposeResult:
        """Heading, talk, settings, what is typed, keys."""
        yield Static(id="heading", markup=False)
        yield VerticalScroll(Static(id="welcome", markup=False), id="talk")
        yield Static(id="settings", markup=False)
        yield Typed(soft_wrap=True, show_line_numbers=False, highlight_cursor_line=False, compact=True)
        yield KeysFooter()

    def on_mount(self) -> None:
        """Load the model."""
        self._load(self._path)
        self.set_interval(DRAW_SECONDS, self._draw)
        self.watch(self.query_one("#talk", VerticalScroll), "scroll_y", self._scrolled, init=False)

    async def on_unmount(self) -> None:
        """The process ends with the screen."""
        await self._process.close()

    # The model's process

    def _load(self, path: Path) -> None:
        self._path, self._facts, self._settings = path, {}, {}
        self._state, self._started = ("loading", ""), time.monotonic()
        self._process = ModelProcess(str(path), self._heard)
        self.run_worker(self._process.run(), group="model", exclusive=True, exit_on_error=False)
        self._headings()

    def _heard(self, event: Event) -> None:
        """An event of the process."""
        kind = event["event"]
        if kind == "ready":
            self._facts, self._settings, self._state = event, event["settings"], ("ready", "")
            if not event["chat"]:
                self.mode = "complete"
            self._welcome()
        elif kind == "settings":
            self._settings = event["settings"]
            self._tell_form("")
        elif kind == "gone":
            self.talk.lost(str(event["message"]))
            self._tell_form(str(event["message"]))
            self._state = ("failed", str(event["message"]))
            self._changed.update(self._views)
            self._welcome()
        elif self.talk.hear(event) is None:
            if kind == "error":
                self._tell_form(str(event["message"]))
        else:
            self._changed.add(len(self.talk.turns) - 1)
            if kind == "begin":
                self._settings = {**self._settings, "seed": event["seed"] + 1}  # the next text's
            elif kind == "text":
                return  # hundreds a second: what they change is drawn when its time has come
        self._headings()

    def _tell_form(self, refusal: str) -> None:
        """What the process says to the settings that the form handed it; an empty text is a yes."""
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_result(refusal)

    def _send(self, request: Mapping[str, Any] | None) -> None:
        if request is not None:
            self.run_worker(self._process.say(request), group="requests", exit_on_error=False)
            self._show_turns()

    # What is to be seen

    def _headings(self) -> None:
        state, _ = self._state
        present = self.talk.present
        sign, colour, said = {
            "loading": ("◔", palette().busy, f"loading {time.monotonic() - self._started:.0f} s"),
            "ready": ("✓", palette().good, "ready"),
            "failed": ("✗", palette().alert, "failed"),
        }[state]
        if present is not None:
            sign, colour, said = "●", palette().good, present.speed(time.monotonic())
        step = f"  step {self._facts['step']:,}" if self._facts.get("step") is not None else ""
        heading = Text.assemble(
            f" {printable(title(self._path))}{step}  ", (self.mode, "bold"), "  ", (f"{sign} {said}", colour)
        )
        self.query_one("#heading", Static).update(heading)
        names = [name for name in self._settings if name in ALWAYS_SHOWN or self._differs(name)]
        shown = "  ".join(f"{name} {written(self._settings[name])}" for name in names)
        self.query_one("#settings", Static).update(printable(shown))
        self.query_one(Typed).placeholder = {
            "complete": "a text to go on from; nothing: go on from the one above",
            "chat": "a message",
        }[self.mode]

    def _differs(self, name: str) -> bool:
        return bool(self._settings[name] != self._facts["settings"][name])

    def _welcome(self) -> None:
        """What a person should know before the first turn; what went wrong."""
        view = self.query_one("#welcome", Static)
        state, why = self._state
        lines = [(printable(line), "") for line in self._process.narration if line.startswith("warning: ")]
        if state == "failed":
            lines.append((f"✗ {printable(why)}\n\n{hint('other_model')} chooses another model.", palette().alert))
        elif self._facts:
            facts = self._facts
            lines.append(
                (f"reads at most {facts['max_seq_len']:,} tokens, computes on {facts['device']}", palette().faint)
            )
            chat = facts["chat"]
            lines.append(
                (
                    f"chat: {chat}; sense comes from training on conversations"
                    if chat
                    else f"no chat: {facts['why_no_chat']}",
                    palette().faint,
                )
            )
        view.update(Text("\n").join(Text(line, style) for line, style in lines))

    def _show_turns(self) -> None:
        """As many views as turns; the newest is to be drawn."""
        talk = self.query_one("#talk", VerticalScroll)
        for place in range(len(self._views), len(self.talk.turns)):
            self._views[place] = Static(classes="turn", markup=False)
            talk.mount(self._views[place])
        self._changed.add(len(self.talk.turns) - 1)
        self._follows, self._rest_until = True, 0.0
        self._draw()

    def _scrolled(self, before: float, now: float) -> None:
        """The end stays in sight until somebody scrolls up, and again when they are back there."""
        at_end = now >= self.query_one("#talk", VerticalScroll).max_scroll_y
        self._follows = now > before and (self._follows or at_end)

    def _draw(self) -> None:
        """Draw what changed, many tokens at a time."""
        began = time.monotonic()
        if began < self._rest_until:
            return
        if self._state[0] == "loading" or self.talk.present is not None:
            self._headings()
        changed, self._changed = self._changed, set()
        for place in changed:
            if place in self._views:
                self._views[place].update(_drawn(self.talk.turns[place]))
        if changed:
            self.call_after_refresh(self._drew, began)

    def _drew(self, began: float) -> None:
        """A long text takes long to draw; most of the time belongs to the keys."""
        if self._follows:
            self.query_one("#talk", VerticalScroll).scroll_end(animate=False)
        now = time.monotonic()
        self._rest_until = now + 3 * (now - began)

    # What keys do

    def _is_free(self) -> bool:
        """Whether the model is there and answers nothing; else why nothing happens is said."""
        why = ""
        if self._state[0] == "loading":
            why = "the model is not there yet"
        elif self._state[0] == "failed":
            why = f"there is no model; {hint('other_model')} chooses one"
        elif self.talk.present is not None:
            why = f"it is answering; {hint('leave')} stops it"
        if why:
            self.notify(why, markup=False)
        return not why

    def action_send(self) -> None:
        """Ask, or go on from the last text."""
        typed = self.query_one(Typed)
        if not self._is_free():
            return
        if typed.text:
            request = self.talk.ask(self.mode, typed.text)
            typed.text = ""
            self._send(request)
        elif self.mode == "complete":
            self._send(self.talk.go_on())

    def action_again(self) -> None:
        """The last turn once more, with the next seed."""
        if self._is_free():
            self._send(self.talk.again())

    def action_new_line(self) -> None:
        """A new line in what is typed."""
        self.query_one(Typed).insert("\n")

    def action_leave(self) -> None:
        """Stop the present answer, else leave."""
        if self.talk.present is not None and self._state[0] == "ready":
            self.run_worker(self._process.say({"stop": True}), group="requests", exit_on_error=False)
        else:
            self.dismiss()

    def action_other_mode(self) -> None:
        """The other mode, where the model has it."""
        if self._facts and not self._facts["chat"]:
            self.notify(
                f"no chat with this model: {self._facts['why_no_chat']}", severity="warning", markup=False, timeout=8
            )
            return
        self.mode = "chat" if self.mode == "complete" else "complete"
        self._headings()

    def action_sampling(self) -> None:
        """Change how text is drawn."""
        if not self._settings:
            self.notify("the model is not there yet")
            return
        lines = fields(self._settings, self._facts["help"])
        self.app.push_screen(Form("How text is drawn", lines, does="take them", check=self._set))

    async def _set(self, texts: Values) -> None:
        """Hand settings to the process. Raises UsageError with what it says of those that mean nothing."""
        if self._state[0] != "ready":
            raise UsageError("there is no model")
        self._verdict = asyncio.get_running_loop().create_future()
        await self._process.say({"settings": taken(texts, self._settings)})
        refusal = await self._verdict
        if refusal:
            raise UsageError(refusal)

    def action_anew(self) -> None:
        """Begin anew."""
        if self.talk.present is not None:
            self.notify(f"it is answering; {hint('leave')} stops it", markup=False)
        else:
            self.talk.clear()
            self._views, self._changed = {}, set()
            self.query(".turn").remove()

    def action_keys(self) -> None:
        """Show the keys."""
        self.action_help()

    def recolour(self) -> None:
        """Write everything again."""
        self._changed.update(self._views)
        self._welcome()
        self._headings()

    def action_page(self, direction: int) -> None:
        """Turn a page of the talk."""
        talk = self.query_one("#talk", VerticalScroll)
        (talk.scroll_page_up if direction < 0 else talk.scroll_page_down)(animate=False)

    def action_other_model(self) -> None:
        """Another model; what was said stays."""
        choose_model(self.app, self.run, self._changed_model)

    def _changed_model(self, path: Path) -> None:
        self.run_worker(self._replace(path), group="replace", exclusive=True)

    async def _replace(self, path: Path) -> None:
        await self._process.close()
        self.talk.lost("stopped for another model")
        self._changed.update(self._views)
        self._load(path)


def _drawn(turn: Turn) -> RenderableType:
    """A turn as text: a completion in one piece, a conversation with who said what."""
    given, made = Text(printable(turn.given), "bold"), Text(printable(turn.made))
    if turn.state in ("waiting", "answering"):
        made.append("▌", palette().good)
    sign, colour = ("✗ ", palette().alert) if turn.state == "failed" else ("", palette().faint)
    remark = Text(f"{sign}{printable(turn.remark)}", colour)
    if turn.mode == "complete":
        text = Text().append_text(given).append_text(made)
        return text.append("\n").append_text(remark) if turn.remark else text
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=5)
    grid.add_column(overflow="fold")
    grid.add_row(Text("you", palette().busy), given)
    grid.add_row(Text("model", palette().good), made)
    if turn.remark:
        grid.add_row("", remark)
    return grid
