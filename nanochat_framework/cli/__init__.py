"""The `nanochat` command: a table of commands, each imported only when it is chosen."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from nanochat_framework import __version__
from nanochat_framework.errors import NanochatError, StoppedOnRequest, UsageError

COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "make a model": {
        "prepare-data": ("prepare_data", "turn text into a tokenizer and token files"),
        "tokenizer": ("tokenizer", "train a tokenizer alone, or compare one with others"),
        "plan": ("plan", "parameters, FLOPs, memory, time and disk of a configuration, before it runs"),
        "train": ("train", "train a model from a TOML file or a preset"),
        "resume": ("resume", "continue a run exactly where it stopped"),
        "runs": ("runs", "list, watch, compare and steer runs, on this machine or through a shared folder"),
        "checkpoints": ("checkpoints", "list a run's checkpoints, keep them from being pruned, remove them"),
    },
    "use it": {
        "eval": ("evaluate", "score a model on held-out text and tasks"),
        "generate": ("generate", "go on from prompts, once"),
        "complete": ("complete", "go on from texts as you type them"),
        "export": ("export", "write a model in a file format such as GGUF"),
        "import": ("import_model", "take in a model that another program wrote, to train it further"),
    },
    "look around": {
        "report": ("report", "one page about a run: curves, scores, samples, configuration, cost"),
        "bench": ("bench", "compare optimizers on this machine"),
        "config": ("config", "check, show or compare configurations; the schema that editors read"),
        "components": ("components", "list the parts a TOML file can name, and their settings"),
        "doctor": ("doctor", "look for what is missing or in the way on this machine, and say what to do"),
        "completion": ("completion", "print the script that makes Tab complete nanochat in bash, zsh or fish"),
        "plugins": ("plugins", "list what is installed, check it, begin a plugin of your own"),
    },
}
"""Heading -> command -> (module in this package, one line of help: its `HELP`); its `EXAMPLES` end the command's `--help`."""

USAGE = """\
usage: nanochat COMMAND ...

Train small language models from raw text to a shipped model: a TOML file names the parts,
a plugin supplies each part.
"""
EXAMPLES = """\
examples:
  nanochat prepare-data --source python_stdlib --vocab-size 4096 --output data
  nanochat train tiny-cpu --run first
  nanochat export first --to gguf --output first.gguf --check
  nanochat generate first.gguf --prompt "import os"

`nanochat COMMAND --help` explains a command, `nanochat --version` says which nanochat this is, `nanochat completion bash`
(or zsh, fish) makes Tab complete commands, options, presets and runs. Exit codes: 0 done, 1 failed, 2 bad usage or
configuration, 3 stopped on request, 4 plugin missing.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never shows a person a traceback for a mistake of theirs."""
    _open_what_is_closed()
    with contextlib.suppress(AttributeError):  # a console that cannot show a character shows its code
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _drop_unwritable()
        return 141  # what the shell reports for a program that SIGPIPE ended
    except KeyboardInterrupt:
        return 130
    except SystemExit as error:  # argparse after --help
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except Exception as error:
        if os.environ.get("NANOCHAT_TRACEBACK"):
            import traceback

            traceback.print_exc()
        return _report(error)


def _open_what_is_closed() -> None:
    """Let a standard stream that was closed (`nanochat ... >&-`) lead nowhere, and its number to no file opened later."""
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                os.fstat(number)
                number = -1  # somebody else's file by now
            file = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, os.fdopen(file, mode, encoding="utf-8", closefd=file != number))


def _report(error: Exception) -> int:
    """Say on stderr what went wrong; the exit code."""
    if isinstance(error, NanochatError):
        prefix = "" if isinstance(error, StoppedOnRequest) else "error: "
        lines, code = str(error).splitlines(), error.exit_code
    elif isinstance(error, OSError) and error.strerror:
        prefix, code = "error: ", 1
        lines = [f"{error.filename}: {error.strerror}" if error.filename else error.strerror]
    elif isinstance(error, MemoryError):
        prefix, code, lines = "error: ", 1, ["out of memory"]
    else:
        prefix, code = "internal error: ", 1
        what = " ".join(f"{type(error).__name__}: {error}".split())
        lines = [f"{what} (set NANOCHAT_TRACEBACK=1 for the traceback; please report it)"]
    with contextlib.suppress(OSError):  # nobody can be told where stderr takes nothing; the code says it
        for line in lines:
            print(prefix + line, file=sys.stderr)
    _drop_unwritable()
    return code


def _drop_unwritable() -> None:
    """Let what stdout and stderr cannot take go nowhere: the interpreter's own flush at exit is quiet, and the code ours."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _dispatch(arguments: list[str]) -> int:
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what Tab should show
        from nanochat_framework.cli.completion_answers import answer

        return answer()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview(), end="")
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"nanochat {__version__}")
        return 0
    from argparse import RawDescriptionHelpFormatter

    from nanochat_framework.cli.parser import Parser

    name, rest = arguments[0], arguments[1:]
    if name.startswith("-"):
        raise UsageError(f"unknown option {name}; a command comes first (`nanochat --help`)")
    module = _module(name)
    parser = Parser(
        prog=f"nanochat {name}",
        description=(module.__doc__ or "").partition("\n\n")[0],
        epilog=getattr(module, "EXAMPLES", None),
        formatter_class=RawDescriptionHelpFormatter,
    )
    module.configure(parser)
    _spin_less()
    code = module.run(parser.parse(rest))
    return code if isinstance(code, int) else 0


def _spin_less() -> None:
    """Let torch's CPU threads spin for microseconds, not milliseconds, before they sleep, unless the person chose otherwise.

    A thread that spins for another one burns the time slice that the other needs when anything else wants a core:
    benchmarks/results/cpu_threads.md has the figures. GNU's OpenMP reads it when torch is first imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "30000")


def _module(name: str) -> Any:
    """The module of a command: ours, or one that another distribution declares."""
    ours = {command: file for commands in COMMANDS.values() for command, (file, _) in commands.items()}
    if name in ours:
        return import_module(f"nanochat_framework.cli.{ours[name]}")
    from nanochat_framework.cli.external import external_commands, load_external

    theirs = external_commands()
    if name in theirs:
        return load_external(name, theirs[name])
    import difflib

    near = difflib.get_close_matches(name, [*ours, *theirs], n=1)
    raise UsageError(f"unknown command {name!r}{f'; did you mean {near[0]!r}?' if near else ''} (`nanochat --help`)")


def _overview() -> str:
    from nanochat_framework.cli.external import external_commands, summary_of

    headings = {heading: {name: text for name, (_, text) in rows.items()} for heading, rows in COMMANDS.items()}
    ours = {name for rows in headings.values() for name in rows}
    theirs = {name: summary_of(points) for name, points in external_commands().items() if name not in ours}
    if theirs:
        headings["from plugins"] = theirs
    width = max(len(name) for rows in headings.values() for name in rows)
    parts = [USAGE]
    for heading, rows in headings.items():
        parts.append(f"{heading}:\n" + "".join(f"  {name:<{width}}  {text}\n" for name, text in rows.items()))
    return "\n".join([*parts, EXAMPLES])
