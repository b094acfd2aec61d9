"""A run's alerts, each with its rule as the run's configuration sets it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from nanochat_framework.errors import UsageError
from nanochat_framework.runs.directory import RunDirectory
from nanochat_tui.formats import clock
from nanochat_tui.palette import palette
from nanochat_tui.printable import printable

MOST_ALERTS = 20
"""So many are listed, the newest; all of them stand among the events."""

_RULES = {
    "skipped": ("", "a step's loss or gradient is not finite, or a spike"),
    "divergence": ("loss_rise", "the smoothed loss lies {loss_rise:g} above its lowest of the last 1000 steps"),
    "stall": ("stall_factor", "nothing for {stall_factor:g} usual steps, {stall_seconds:g} s at least"),
    "disk": ("disk_free_gb", "the disk has less than {disk_free_gb:g} GB left, or than two checkpoints"),
}
"""Kind of alert -> the key of [monitor] that switches it off with 0, and what sets it off."""


def monitor_section(run: RunDirectory) -> Mapping[str, Any]:
    """`[monitor]` of the run's resolved configuration; empty where it cannot be read."""
    try:
        section = run.config().get("monitor")
    except UsageError:
        return {}
    return section if isinstance(section, dict) else {}


def rule(kind: str, section: Mapping[str, Any]) -> str:
    """What sets off an alert, in words; empty where that is not known."""
    switch, words = _RULES.get(kind, ("", ""))
    if switch and section.get(switch) == 0:
        return "never: " + f"monitor.{switch} = 0"
    try:
        return words.format(**section)
    except (KeyError, ValueError, TypeError):
        return words.partition("{")[0].strip() and f"see [monitor]: {switch}"


def described(events: Iterable[Mapping[str, Any]], section: Mapping[str, Any]) -> Group:
    """The newest alerts first: when, at which step, which rule, what it said; without any, what is watched."""
    alerts = [event for event in events if event.get("kind") == "alert"]
    table = Table.grid(padding=(0, 1))
    if not alerts:
        for kind in _RULES:
            table.add_row(Text(kind), Text(rule(kind, section), "dim"))
        return Group(Text("no alerts; watched is", "bold"), table)
    for event in reversed(alerts[-MOST_ALERTS:]):
        kind, step = printable(str(event.get("alert", "alert"))), event.get("step")
        said = Text(printable(" ".join(str(event.get("message", "")).split())))
        if words := rule(kind, section):
            said.append(f"\nrule: {words}", "dim")
        table.add_row(
            clock(event.get("time")),
            Text(printable(f"step {'-' if step is None else step}")),
            Text(kind, palette().alert),
            said,
        )
    return Group(Text(f"! {len(alerts)} alert{'s' * (len(alerts) != 1)}", f"bold {palette().alert}"), table)
