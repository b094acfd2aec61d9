"""`nanochat tui`: watch and steer runs in the terminal."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanochat_framework.errors import UsageError

HELP = "watch and steer runs on one screen in the terminal"

EXAMPLES = """\
examples:
  nanochat tui                                   (all runs in ./runs)
  nanochat tui first                             (one run)
  nanochat tui --filter 'lr>0.01 and state=running'
  nanochat tui --web                             (in a browser of this machine)
  nanochat tui --plain --every 30                (lines of text, for screen readers and logs)
  nanochat tui --remote me@big-machine:/data/runs   (over ssh; nanochat is installed there too)

The dashboard knows runs by their folders alone: closing it changes no training, and several may watch one run.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("run", nargs="?", help="name of a run, or the path of its folder, to begin with")
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs live (default ./runs)")
    parser.add_argument(
        "--filter", default="", metavar="TEXT", help="only runs like this, e.g. 'lr>0.01 and not tag=old'"
    )
    parser.add_argument(
        "--fps", type=float, metavar="N", help="looks at a run's files a second (default 4; with --remote 1)"
    )
    parser.add_argument(
        "--remote",
        metavar="[USER@]HOST[:DIR]",
        help="the dashboard of another machine, over ssh; DIR is where runs live",
    )
    parser.add_argument(
        "--remote-command",
        metavar="TEXT",
        help="with --remote: how nanochat is called there, as that machine's shell reads it (default nanochat)",
    )
    parser.add_argument(
        "--ssh", metavar="TEXT", help="with --remote: how ssh is called here, e.g. 'ssh -p 2222' (default ssh)"
    )
    parser.add_argument(
        "--web", action="store_true", help="in a browser: print the address to open, and serve it until Ctrl-C"
    )
    parser.add_argument(
        "--port", type=int, metavar="N", help="with --web: the port (default 8000; 0 takes one that is free)"
    )
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        help="with --web: where to listen (default 127.0.0.1, which only this machine reaches)",
    )
    parser.add_argument("--fresh", action="store_true", help="begin without the layout of the last time")
    parser.add_argument(
        "--keys", action="store_true", help="print the keys of all actions as a table for tui.toml, and end"
    )
    parser.add_argument(
        "--plain", action="store_true", help="lines of text when something changed, instead of a screen"
    )
    parser.add_argument(
        "--every", type=float, default=10.0, metavar="S", help="with --plain: seconds between looks (default 10)"
    )
    parser.add_argument("--once", action="store_true", help="with --plain: print the table and end")


def run(arguments: argparse.Namespace) -> int:
    """Open the screen, or print. Raises UsageError for what a person got wrong."""
    from nanochat_framework.runs.directory import default_runs_dir
    from nanochat_tui.filters import parse

    parse(arguments.filter)
    if arguments.fps is not None and not 0.1 <= arguments.fps <= 30:
        raise UsageError(f"--fps {arguments.fps:g}: from 0.1 to 30")
    if not arguments.every >= 0.1:
        raise UsageError(f"--every {arguments.every:g}: at least 0.1 seconds")
    if arguments.once and not arguments.plain:
        raise UsageError("--once goes with --plain")
    if arguments.keys:
        return _keys()
    if arguments.remote is not None:
        return _remote(arguments)
    if arguments.remote_command is not None or arguments.ssh is not None:
        raise UsageError("--remote-command and --ssh go with --remote")
    arguments.runs_dir = arguments.runs_dir or default_runs_dir()
    if arguments.web:
        return _web(arguments)
    if arguments.port is not None or arguments.host is not None:
        raise UsageError("--port and --host go with --web")
    if arguments.plain:
        from nanochat_tui.plain import show

        if arguments.run:
            raise UsageError("--plain lists runs; `nanochat runs logs RUN -f` follows one")
        show(arguments.runs_dir, wanted=arguments.filter, seconds=arguments.every, once=arguments.once)
        return 0
    return _screen(arguments)


def _keys() -> int:
    """Print the table of keys as it is with the user's settings; what is wrong with them goes to stderr."""
    with _extra():
        from nanochat_tui.keymap import as_toml
        from nanochat_tui.keys import choose
        from nanochat_tui.settings import read_settings, settings_file

    settings = read_settings(settings_file())
    for note in settings.notes:
        print(f"note: {note}", file=sys.stderr)
    choose(settings.keys)
    print(f"# {settings_file()}")
    print(as_toml())
    return 0


def _remote(arguments: argparse.Namespace) -> int:
    """Hand everything to the dashboard of another machine."""
    from nanochat_tui.remote import command_line, connect, place

    if arguments.runs_dir is not None:
        raise UsageError("--remote HOST:DIR names the folder of runs; --runs-dir is one of this machine")
    if arguments.once and not arguments.plain:
        raise UsageError("--once goes with --plain")
    if arguments.web:
        raise UsageError("--web there and `ssh -L 8000:localhost:8000` here show it in a browser; not --remote --web")
    if not arguments.plain and not sys.stdin.isatty():
        raise UsageError("the dashboard needs a terminal; --plain prints lines of text")
    where = place(arguments.remote)
    words = ["--plain", f"--every={arguments.every:g}"] if arguments.plain else [f"--fps={arguments.fps or 1.0:g}"]
    words += [f"--filter={arguments.filter}"] if arguments.filter else []
    words += ["--once"] if arguments.once else []
    words += ["--fresh"] if arguments.fresh else []
    words += ["--", arguments.run] if arguments.run else []
    command = command_line(
        where,
        words,
        ssh=arguments.ssh or "ssh",
        nanochat=arguments.remote_command or "nanochat",
        screen=not arguments.plain,
    )
    return connect(where, command)


def _web(arguments: argparse.Namespace) -> int:
    """Serve the dashboard to browsers."""
    from nanochat_framework.runs.directory import RunDirectory

    if arguments.plain:
        raise UsageError("--web shows the screen; --plain prints lines of text")
    port = 8000 if arguments.port is None else arguments.port
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: from 0 to 65535")
    if arguments.run:
        RunDirectory.find(arguments.runs_dir, arguments.run)
    try:
        from nanochat_tui.web import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual_serve", "aiohttp", "aiohttp_jinja2"):
            raise
        raise UsageError("--web needs the extra `web`: pip install 'nanochat-framework[web]'") from None
    words = [f"--runs-dir={arguments.runs_dir.absolute()}", f"--fps={arguments.fps or 4.0:g}"]
    words += [f"--filter={arguments.filter}"] if arguments.filter else []
    words += ["--fresh"] if arguments.fresh else []
    words += ["--", arguments.run] if arguments.run else []
    serve(words, host=arguments.host or "127.0.0.1", port=port)
    return 0


def _screen(arguments: argparse.Namespace) -> int:
    from nanochat_framework.runs.directory import RunDirectory

    first = RunDirectory.find(arguments.runs_dir, arguments.run) if arguments.run else None
    in_browser = "TEXTUAL_DRIVER" in os.environ  # as `--web` starts it
    if not (in_browser or (sys.stdin.isatty() and sys.__stderr__ is not None and sys.__stderr__.isatty())):
        raise UsageError("the dashboard needs a terminal; `nanochat tui --plain` prints lines of text")
    with _extra():
        from nanochat_tui.app import Dashboard
        from nanochat_tui.layout import Memory, layout_file
        from nanochat_tui.settings import read_settings, settings_file

    memory = Memory.read(layout_file(), fresh=arguments.fresh)
    app = Dashboard(
        arguments.runs_dir,
        first=first,
        wanted=arguments.filter,
        seconds=1.0 / (arguments.fps or 4.0),
        settings=read_settings(settings_file()),
        memory=memory,
    )
    app.run()
    if wrong := memory.save():
        print(f"note: {wrong}", file=sys.stderr)
    return app.return_code or 0


@contextmanager
def _extra() -> Iterator[None]:
    """Import what the extra `tui` brings, or tell how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise UsageError("the dashboard needs the extra `tui`: pip install 'nanochat-framework[tui]'") from None
