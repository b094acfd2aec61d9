"""The `nanochat` command: a table of commands, each imported only when it is chosen."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from nanochat_framework import __version__
from nanochat_framework.errors import NanochatError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

COMMANDS: dict[str, tuple[str, str]] = {
    "prepare-data": ("prepare_data", "turn text into a tokenizer and token files"),
    "train": ("train", "train a model from a TOML file or a preset"),
    "resume": ("resume", "continue a run exactly where it stopped"),
    "eval": ("evaluate", "score a model on held-out text and tasks"),
    "export": ("export", "write a model as GGUF"),
    "generate": ("generate", "continue a prompt"),
    "plan": ("plan", "parameters, arithmetic and memory, before anything is allocated"),
    "config": ("config", "check or show a configuration"),
    "components": ("components", "list the parts a TOML file can name, and their settings"),
    "plugins": ("plugins", "list what is installed and what failed to load"),
}
"""Command -> (module in this package, one line of help)."""
COMMAND_GROUP = "nanochat.commands"

EPILOG = """\
examples:
  nanochat prepare-data --source python_stdlib --vocab-size 4096 --output data
  nanochat train tiny-cpu --run first
  nanochat export first --to gguf --output first.gguf --check
  nanochat generate first.gguf --prompt "import os"

`nanochat COMMAND --help` explains a command. Exit codes: 0 done, 1 failed, 2 bad usage or configuration,
3 stopped on request, 4 plugin missing.
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with code 2."""
        self.exit(2, f"error: {message} (`{self.prog} --help`)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never shows a person a traceback for a mistake of theirs."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except NanochatError as error:
        for line in str(error).splitlines():
            print(f"error: {line}" if error.exit_code != 3 else line, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit is quiet too
        return 0
    except Exception as error:
        if os.environ.get("NANOCHAT_TRACEBACK"):
            raise
        first = (str(error).splitlines() or [""])[0]
        print(
            f"error: internal: {type(error).__name__}: {first} (NANOCHAT_TRACEBACK=1 shows where; please report it)",
            file=sys.stderr,
        )
        return 1


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview(), end="")
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"nanochat {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    module = _module(name)
    parser = _Parser(prog=f"nanochat {name}", description=(module.__doc__ or "").partition("\n\n")[0])
    module.configure(parser)
    _spin_less()
    code = module.run(parser.parse_args(rest))
    assert isinstance(code, int)
    return code


def _spin_less() -> None:
    """Let torch's CPU threads spin for microseconds, not milliseconds, before they sleep, unless the person chose otherwise.

    A thread that spins for another one burns the time slice that the other needs when anything else wants a core:
    benchmarks/results/cpu_threads.md has the figures. GNU's OpenMP reads it when torch is first imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "30000")


def _module(name: str) -> Any:
    """The module of a command: ours, or one that another distribution declares."""
    if name in COMMANDS:
        return import_module(f"nanochat_framework.cli.{COMMANDS[name][0]}")
    found = {point.name: point for point in _declared()}
    if name in found:
        return found[name].load()
    import difflib

    from nanochat_framework.errors import UsageError

    near = difflib.get_close_matches(name, [*COMMANDS, *found], n=1)
    raise UsageError(f"unknown command {name!r}{f'; did you mean {near[0]!r}?' if near else ''} (`nanochat --help`)")


def _declared() -> EntryPoints:
    """Commands of other distributions: entry points of the group `nanochat.commands`, not imported."""
    from importlib.metadata import entry_points

    return entry_points(group=COMMAND_GROUP)


def _overview() -> str:
    rows = [(name, summary) for name, (_, summary) in COMMANDS.items()]
    rows += [(point.name, _summary(point)) for point in _declared() if point.name not in COMMANDS]
    lines = "\n".join(f"  {name:<13} {summary}" for name, summary in rows)
    return (
        "usage: nanochat COMMAND ...\n\n"
        "Train small language models from raw text to a shipped model: a TOML file names the parts,\n"
        f"a plugin supplies each part.\n\ncommands:\n{lines}\n\n{EPILOG}"
    )


def _summary(point: EntryPoint) -> str:
    """First line of the command module's docstring, read without importing it; else who brings it."""
    import ast
    from importlib.util import find_spec
    from pathlib import Path

    package, _, below = point.module.partition(".")
    try:
        spec = find_spec(package)
        assert spec is not None and spec.origin is not None
        origin = Path(spec.origin)
        file = origin if not below else origin.parent.joinpath(*below.split(".")).with_suffix(".py")
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        assert text
        return text.splitlines()[0]
    except (AssertionError, ImportError, OSError, SyntaxError, ValueError):
        return f"from {point.dist.name}" if point.dist else "from another distribution"
