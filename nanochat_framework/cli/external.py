"""Commands of other distributions: entry points of the group `nanochat.commands`, listed without importing them.

    [project.entry-points."nanochat.commands"]
    sweep = "acme_sweep.command"

The module has what ours have: `HELP`, `configure(parser)` and `run(arguments) -> int`; `EXAMPLES`, if it has them, end its
`--help`.
"""

from __future__ import annotations

import ast
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from nanochat_framework.errors import NanochatError
from nanochat_framework.plugins.discovery import Owners, declared

COMMAND_GROUP = "nanochat.commands"


class CommandMissing(NanochatError):
    """A command is declared, and cannot be run as things are installed."""

    exit_code = 4


def external_commands() -> dict[str, list[EntryPoint]]:
    """Command -> the entry points that declare it; more than one only where distributions disagree."""
    found: dict[str, list[EntryPoint]] = {}
    for point in sorted(declared(COMMAND_GROUP), key=lambda point: (point.name, point.value)):
        found.setdefault(point.name, []).append(point)
    return found


def load_external(name: str, points: list[EntryPoint]) -> Any:
    """The module of a command. Raises CommandMissing if it cannot be had, naming who should mend it."""
    owners = [" ".join(Owners().of(point)) for point in points]
    if len(points) > 1:
        raise CommandMissing(f"command {name!r} is declared by {' and '.join(owners)}; uninstall one of them")
    try:
        module = points[0].load()
        missing = [part for part in ("configure", "run") if not callable(getattr(module, part, None))]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a stranger's module may raise anything
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise CommandMissing(f"command {name!r} of {owners[0]} cannot be loaded: {what}") from error
    if missing:
        raise CommandMissing(f"command {name!r} of {owners[0]} has no {missing[0]}()")
    return module


def summary_of(points: list[EntryPoint]) -> str:
    """One line of help: the module's `HELP`, else the first line of its docstring, else who brings it."""
    owners = [Owners().of(point)[0] for point in points]
    if len(points) > 1:
        return f"(declared by {' and '.join(owners)}: uninstall one of them)"
    try:
        tree = ast.parse(_file(points[0].module).read_bytes())
    except Exception:  # no such package, no source, a syntax error: the command itself will say so
        return f"from {owners[0]}"
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and [ast.unparse(target) for target in statement.targets] == ["HELP"]:
            return _first_line(ast.literal_eval(statement.value))
    return _first_line(ast.get_docstring(tree)) or f"from {owners[0]}"


def _first_line(text: object) -> str:
    return (str(text or "").strip().splitlines() or [""])[0]


def _file(module: str) -> Path:
    """Source of a module. Only its top-level package is looked up, which imports nothing."""
    from importlib.util import find_spec

    package, *below = module.split(".")
    spec = find_spec(package)
    assert spec is not None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder).joinpath(*below)
        for candidate in (path.with_name(path.name + ".py"), path / "__init__.py"):
            if candidate.is_file() and (below or candidate.name == "__init__.py"):
                return candidate
    assert spec.origin is not None and not below
    return Path(spec.origin)
