"""The hooks that a plugin may implement, and the version of the interface it is written for.

A plugin registers its components in `nanochat_register`. The other hooks tell every plugin that implements them what a
training does, one after another; a plugin takes what it needs of their arguments::

    from nanochat_framework.plugins import hookimpl

    NANOCHAT_PLUGIN_API = 1

    @hookimpl
    def nanochat_checkpoint_written(run, step, path):
        copy_somewhere(path)

They are called in process 0 between two steps, so what takes long belongs in a thread. What one raises is written to
events.jsonl and told in a line on stderr; after three errors the plugin's hooks are not called any more. A training never
stops because of one. What is to be configured, has state in checkpoints or sees the model is a `callback` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pluggy

if TYPE_CHECKING:
    from nanochat_framework.plugins.registrar import Registrar

PROJECT = "nanochat"
PLUGIN_API_VERSION = 1
"""Raised when a contract changes so that older plugins would break. A plugin states the one it was written for as
`NANOCHAT_PLUGIN_API`; a plugin that states none or a newer one is reported as incompatible and not loaded."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class RunFacts:
    """Which training a hook is told of: its folder and name, the attempt (from 1), the resolved configuration as plain data."""

    folder: Path
    name: str
    attempt: int
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Panel:
    """A part of the dashboard: a name (`vendor/name`), a title, and what it shows of a run.

    `lines` gets the run's folder, from whose files it reads, and returns lines of plain text, a thousand at most. It is
    called about once a second, in a process of its own without torch (`nanochat plugins panels`), from a thread of its own;
    what it raises is shown in its place, and what it prints goes nowhere.
    """

    name: str
    title: str
    lines: Callable[[Path], Sequence[str]]


class PluginHooks:
    """Hooks that a plugin may implement."""

    @hookspec
    def nanochat_register(self, registrar: Registrar) -> None:
        """Declare the components of this plugin. Called once; must import nothing heavy."""

    @hookspec
    def nanochat_run_started(self, run: RunFacts, step: int, total_steps: int | None) -> None:
        """A training, or a further attempt, is about to take step `step` + 1; None: how many there are is not known yet."""

    @hookspec
    def nanochat_run_ended(
        self, run: RunFacts, step: int, state: Literal["finished", "stopped", "failed"], error: str | None
    ) -> None:
        """The training is over, after `step` steps; `error` is the line that says why it failed, None where it did not.

        status.json says so a moment later.
        """

    @hookspec
    def nanochat_step(self, run: RunFacts, step: int, tokens: int, metrics: Mapping[str, float]) -> None:
        """A step was taken. `tokens` counts those of the whole run; `metrics` are `train/...` as in metrics.jsonl."""

    @hookspec
    def nanochat_evaluated(self, run: RunFacts, step: int, scores: Mapping[str, float]) -> None:
        """Held-out data were evaluated: `eval/...` as in metrics.jsonl."""

    @hookspec
    def nanochat_checkpoint_written(self, run: RunFacts, step: int, path: Path) -> None:
        """A checkpoint is whole and has its name. It may be pruned later; copy what must stay."""

    @hookspec
    def nanochat_panels(self) -> Sequence[Panel]:
        """Panels for the dashboard, which asks once for each run that it shows. Must import nothing heavy."""
        return ()
