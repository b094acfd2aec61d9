"""Plugins' panels of a run, each called in a thread of its own: one that hangs, raises or prints is its own trouble alone.

Made for a process of its own (`nanochat plugins panels`), which the dashboard starts and reads.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from itertools import islice
from pathlib import Path
from typing import Any

from nanochat_framework.plugins.api import Panel
from nanochat_framework.plugins.faults import fault
from nanochat_framework.plugins.loader import PluginHost

HOOK = "nanochat_panels"
EVERY_SECONDS = 1.0
"""From the end of a call to the next."""
LATE_SECONDS = 5.0
"""A call that takes longer is told of."""
MOST_LINES = 1000
LONGEST_LINE = 400


@dataclass(frozen=True)
class PanelText:
    """What a panel shows: its lines, or the error in their place. `late`: no answer for LATE_SECONDS, and these are old."""

    plugin: str
    name: str
    title: str
    lines: tuple[str, ...] = ()
    error: str = ""
    late: bool = False


class NoTorch(MetaPathFinder):
    """Refuses `import torch`: the promise that panels are called in a process without it, kept."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        """Raise ImportError for torch; leave all else to others."""
        if fullname == "torch":
            raise ImportError("a panel must not import torch: it reads the run's files")


def forbid_torch() -> None:
    """From now on, unless a plugin has imported it already."""
    if "torch" not in sys.modules:
        sys.meta_path.insert(0, NoTorch())


class PanelWatch:
    """The panels of all plugins, on one run."""

    def __init__(self, host: PluginHost, run: Path, *, names: Sequence[str] = ()) -> None:
        """`names`: of plugins; empty: all."""
        plugins = [plugin.name for plugin in host.plugins if plugin.state == "ok" and HOOK in plugin.hooks]
        self._callers = [_Asked(host, name) for name in plugins if not names or name in names]
        self._run = run
        self._told: dict[tuple[str, str], PanelText] = {}

    def once(self) -> list[PanelText]:
        """What each shows now; waits LATE_SECONDS for the last of them at most."""
        for caller in self._callers:
            caller.start(self._run, again=False)
        deadline = time.monotonic() + LATE_SECONDS
        while not all(caller.answered for caller in self._callers) and time.monotonic() < deadline:
            time.sleep(0.02)
        return [text for caller in self._callers for text in caller.texts(late=True)]

    def follow(self) -> Iterator[PanelText]:
        """What changed, as it changes, for ever; ends at once where there is no panel."""
        for caller in self._callers:
            caller.start(self._run, again=True)
        while any(not caller.empty for caller in self._callers):
            for caller in self._callers:
                for text in caller.texts():
                    if self._told.get((text.plugin, text.name)) != text:
                        self._told[text.plugin, text.name] = text
                        yield text
            time.sleep(0.1)


class _Asked:
    """A plugin that is asked for its panels, and then each of these for its lines, in threads of their own."""

    def __init__(self, host: PluginHost, plugin: str) -> None:
        self._host, self._plugin = host, plugin
        self._panels: list[_Called] | None = None
        self._fault = ""
        self._since = time.monotonic()

    def start(self, run: Path, *, again: bool) -> None:
        self._since = time.monotonic()
        threading.Thread(target=self._ask, args=(run, again), daemon=True).start()

    def _ask(self, run: Path, again: bool) -> None:
        manager = self._host.manager
        this = manager.get_plugin(self._plugin)
        others = [other for other in manager.get_plugins() if other is not this]
        try:
            answered = manager.subset_hook_caller(HOOK, others)()
            panels = [_checked(panel) for panels in answered for panel in panels]
            if len({panel.name for panel in panels}) < len(panels):
                raise ValueError(f"{HOOK} returned two panels of one name")
        except BaseException as error:  # a stranger's, SystemExit too
            self._fault = fault(error)
            return
        self._panels = [_Called(self._plugin, panel) for panel in panels]
        for called in self._panels:
            called.start(run, again=again)

    @property
    def answered(self) -> bool:
        """Whether everything was said that there is to say."""
        return bool(self._fault) or (self._panels is not None and all(panel.answered for panel in self._panels))

    @property
    def empty(self) -> bool:
        """Whether it has no panel."""
        return not self._fault and self._panels == []

    def texts(self, *, late: bool = False) -> Iterator[PanelText]:
        """What its panels show; of those that did not answer yet only where they are late."""
        if self._fault or (self._panels is None and (late or time.monotonic() - self._since > LATE_SECONDS)):
            yield PanelText(self._plugin, HOOK, self._plugin, error=self._fault, late=not self._fault)
        for called in self._panels or ():
            text = called.text(late=late)
            if text is not None:
                yield text


class _Called:
    """One panel, called again and again."""

    def __init__(self, plugin: str, panel: Panel) -> None:
        self._plugin, self._panel = plugin, panel
        self._last: PanelText | None = None
        self._since: float | None = time.monotonic()
        """When the present call began; None between two."""

    def start(self, run: Path, *, again: bool) -> None:
        threading.Thread(target=self._call, args=(run, again), daemon=True).start()

    def _call(self, run: Path, again: bool) -> None:
        while True:
            self._since = time.monotonic()
            self._last = self._answer(run)
            self._since = None
            if not again:
                return
            time.sleep(EVERY_SECONDS)

    def _answer(self, run: Path) -> PanelText:
        facts = (self._plugin, self._panel.name, self._panel.title)
        try:
            return PanelText(*facts, lines=_lines(self._panel.lines(run)))
        except BaseException as error:  # a stranger's, SystemExit too
            return PanelText(*facts, error=fault(error))

    @property
    def answered(self) -> bool:
        return self._last is not None

    def text(self, *, late: bool) -> PanelText | None:
        last, since = self._last, self._since
        if since is not None and ((last is None and late) or time.monotonic() - since > LATE_SECONDS):
            lines = last.lines if last is not None else ()
            return PanelText(self._plugin, self._panel.name, self._panel.title, lines=lines, late=True)
        return last


def _checked(panel: Any) -> Panel:
    """Raises TypeError for what is no panel, or has neither a name nor a title that is text."""
    if not isinstance(panel, Panel) or not isinstance(panel.name, str) or not isinstance(panel.title, str):
        raise TypeError(f"{HOOK} returned {panel!r:.100}, which is no Panel with a name and a title")
    return panel


def _lines(said: Any) -> tuple[str, ...]:
    """MOST_LINES lines at most, however many there are. Raises TypeError for what is no text."""
    if isinstance(said, str):
        said = said.splitlines()
    lines = list(islice(iter(said), MOST_LINES + 1))
    if not all(isinstance(line, str) for line in lines):
        odd = next(line for line in lines if not isinstance(line, str))
        raise TypeError(f"a panel's lines are strings, not {type(odd).__name__}")
    more = [f"… more than {MOST_LINES} lines"] if len(lines) > MOST_LINES else []
    return tuple([line[:LONGEST_LINE] for line in lines[:MOST_LINES]] + more)
