"""What Tab shows: argcomplete asks the parser of the command that is being typed, and no other command is imported.

The shell's script runs `nanochat` with the line in the environment (`_ARGCOMPLETE`, `COMP_LINE`, `COMP_POINT`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from nanochat_framework.cli.parser import Parser

_IS_OTHER = {"--run", "--checkpoint"}
"""Options that share a name with an argument and mean something else: a run's new name, the path of a model."""
Candidates = Mapping[str, str]
"""What may stand there -> what is shown beside it."""


def answer() -> int:
    """Write the candidates to where the shell's script reads them; this ends the process."""
    from argcomplete import autocomplete

    autocomplete(_parser(_command()), always_complete_options="long", default_completer=cast(Any, _files))
    return 0


def _command() -> str | None:
    """The command that stands complete on the line; None while it is still being typed."""
    line = os.environ.get("COMP_LINE", "")
    typed = line[: int(os.environ.get("COMP_POINT", len(line)))]
    finished = typed.split() if typed.endswith((" ", "\t")) else typed.split()[:-1]
    return next((word for word in finished[1:] if not word.startswith("-")), None)


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """All commands, of which only the chosen one has its arguments."""
    from nanochat_framework.cli import COMMANDS, _module
    from nanochat_framework.cli.external import external_commands, summary_of

    parser = Parser(prog="nanochat")
    parser.add_argument("--version", action="store_true", help="which nanochat this is")
    commands = parser.add_subparsers()
    summaries = {name: text for rows in COMMANDS.values() for name, (_, text) in rows.items()}
    for name, points in external_commands().items():
        summaries.setdefault(name, summary_of(points))
    for name, summary in summaries.items():
        below = commands.add_parser(name, help=summary.replace("%", "%%"))
        if name == chosen:
            with contextlib.suppress(Exception):  # a stranger's command that cannot be loaded has no options to show
                _module(name).configure(below)
                _complete_values(below)
    return parser


def _complete_values(parser: argparse.ArgumentParser) -> None:
    """Give each argument, here and below, what completes its values, by what the commands call it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _complete_values(below)
        elif action.dest in COMPLETERS and not action.choices and not _IS_OTHER & set(action.option_strings):
            action.completer = _quiet(COMPLETERS[action.dest])  # type: ignore[attr-defined]


def _quiet(candidates: Callable[[argparse.Namespace, str], Candidates]) -> Callable[..., Candidates]:
    """A completer as argcomplete calls it. One that fails shows nothing: nobody reads an error while typing."""

    def completer(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Candidates:
        try:
            return candidates(parsed_args, prefix)
        except Exception:
            return {}

    return completer


def _files(prefix: str, **_: Any) -> list[str]:
    """Files and folders that begin so; folders end with `/`, behind which the shell sets no space."""
    folder, begun = os.path.split(os.path.expanduser(prefix))
    shown = prefix[: len(prefix) - len(begun)]
    found = []
    with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            if entry.name.startswith(begun) and (begun.startswith(".") or not entry.name.startswith(".")):
                found.append(f"{shown}{entry.name}{'/' if entry.is_dir() else ''}")
    return sorted(found)


def _configurations(arguments: argparse.Namespace, prefix: str) -> Candidates:
    from nanochat_framework.config.presets import preset_names

    toml = [each for each in _files(prefix) if each.endswith(("/", ".toml"))]
    return {**dict.fromkeys(preset_names(), "preset"), **dict.fromkeys(toml, "file")}


def _runs(arguments: argparse.Namespace, prefix: str) -> Candidates:
    from nanochat_framework.runs.directory import RunDirectory, default_runs_dir

    folder = getattr(arguments, "runs_dir", None)
    found = RunDirectory.all(Path(folder) if folder else default_runs_dir())
    aliases = {run.alias: f"run {run.name}" for run in found if run.alias}
    return {**dict.fromkeys((run.name for run in found), "run"), **aliases}


def _checkpoints(arguments: argparse.Namespace, prefix: str) -> Candidates:
    from nanochat_framework.runs.checkpoint_store import CheckpointStore
    from nanochat_framework.runs.directory import RunDirectory, default_runs_dir

    folder = getattr(arguments, "runs_dir", None)
    run = RunDirectory.find(Path(folder) if folder else default_runs_dir(), arguments.run)
    store = CheckpointStore(run.checkpoints)
    names = [folder.name for _, folder in store.steps()]
    names += [name for name in ("best", "final") if store.path(name).is_dir()]
    return dict.fromkeys(names, "checkpoint")


def _models(arguments: argparse.Namespace, prefix: str) -> Candidates:
    return {**dict.fromkeys(_files(prefix), "file"), **_runs(arguments, prefix)}


def _sides(arguments: argparse.Namespace, prefix: str) -> Candidates:
    return {**_runs(arguments, prefix), **_configurations(arguments, prefix)}


def _kinds(arguments: argparse.Namespace, prefix: str) -> Candidates:
    from nanochat_framework.plugins.kinds import KINDS

    return {name: kind.summary for name, kind in KINDS.items()}


def _components(kind: str) -> Callable[[argparse.Namespace, str], Candidates]:
    def candidates(arguments: argparse.Namespace, prefix: str) -> Candidates:
        from nanochat_framework.plugins import load_plugins

        wanted = kind or getattr(arguments, "kind", "")
        return {component.name: component.summary for component in load_plugins().registry.components(wanted)}

    return candidates


def _keys(arguments: argparse.Namespace, prefix: str) -> Candidates:
    """Keys with the `=` that follows them."""
    from nanochat_framework.config.settable_keys import settable_keys
    from nanochat_framework.plugins import load_plugins

    target = getattr(arguments, "config", None) or getattr(arguments, "config_flag", None)
    keys = settable_keys(target, load_plugins().registry)
    return {f"{key}=": text for key, text in keys.items()}


COMPLETERS: dict[str, Callable[[argparse.Namespace, str], Candidates]] = {
    "config": _configurations,
    "config_flag": _configurations,
    "a": _sides,
    "b": _sides,
    "run": _runs,
    "after": _runs,
    "runs": _runs,
    "checkpoint": _checkpoints,
    "checkpoints": _checkpoints,
    "model": _models,
    "kind": _kinds,
    "name": _components(""),
    "to": _components("exporter"),
    "tasks": _components("evaluation"),
    "overrides": _keys,
}
"""Where an argument's value is stored -> what completes it; everything else takes files."""
