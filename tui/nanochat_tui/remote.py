"""The dashboard of another machine, over a person's own ssh: `nanochat tui` runs there, and its screen comes here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nanochat_framework.errors import NanochatError, UsageError

NOT_FOUND = 127
"""What a shell ends with that does not find a command."""
SSH_FAILED = 255
_HOST = re.compile(r"(?:[^\s@:/\\'\"-][^\s@:/\\'\"]*@)?(?:\[[0-9A-Fa-f:.%\w]+\]|[\w](?:[\w.-]*[\w])?)\Z")
_TOLD = ("NO_COLOR", "COLORTERM")
"""What ssh does not pass on of the terminal's environment."""


@dataclass(frozen=True)
class Place:
    """`host` as ssh takes it (a name of ~/.ssh/config too), and a folder of runs there; empty: that machine's usual one."""

    host: str
    folder: str = ""


def place(text: str) -> Place:
    """Read `[user@]host[:folder]`. Raises UsageError.

    A folder that is not absolute is in the home folder; `~/runs` is `runs`.
    """
    address = re.match(r"((?:[^@:]*@)?\[[^\]]*\]|[^:]*)(?::(.*))?\Z", text, re.DOTALL)
    host, folder = (address[1], address[2] or "") if address else (text, "")
    if not _HOST.match(host):
        raise UsageError(f"--remote {text!r}: [user@]host[:folder] is wanted, like me@big-machine:/data/runs")
    if "\0" in folder or "\n" in folder:
        raise UsageError(f"--remote {text!r}: a folder's name with a line break or a zero byte cannot be passed on")
    return Place(host.replace("[", "").replace("]", ""), folder.removeprefix("~/") if folder != "~" else ".")


def command_line(
    where: Place,
    arguments: Sequence[str],
    *,
    ssh: str = "ssh",
    nanochat: str = "nanochat",
    screen: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> list[str]:
    """What is run here: `ssh -t host 'nanochat tui ...'`.

    Args:
        where: the machine and its folder of runs.
        arguments: further ones of `nanochat tui`; whatever they hold reaches it as it is.
        ssh: how ssh is called here, options included, as a shell would read it.
        nanochat: how nanochat is called there, as that machine's shell reads it.
        screen: whether a terminal is wanted there.
    """
    try:
        local = shlex.split(ssh)
    except ValueError as error:
        raise UsageError(f"--ssh {ssh!r}: {error}") from None
    if not local or not nanochat.strip():
        raise UsageError("--ssh and --remote-command: a command is wanted")
    words = ["tui", *([f"--runs-dir={where.folder}"] if where.folder else []), *arguments]
    told = "".join(f"export {name}={shlex.quote(environ[name])}; " for name in _TOLD if environ.get(name))
    there = f"{told}{nanochat} {' '.join(map(shlex.quote, words))}"
    return [*local, "-t" if screen else "-T", "--", where.host, there]


def connect(where: Place, command: Sequence[str]) -> int:
    """Run it in this terminal until it ends; its exit code. Raises UsageError or NanochatError where it did not begin."""
    try:
        code = subprocess.run(command, check=False).returncode
    except FileNotFoundError:
        raise UsageError(f"--remote needs {command[0]}, which is not installed here") from None
    except OSError as error:
        raise UsageError(f"{command[0]}: {error.strerror}") from None
    if code == NOT_FOUND:
        raise NanochatError(
            f"{where.host}: the shell there finds no nanochat; say where it is, like --remote-command venv/bin/nanochat"
        )
    if code == SSH_FAILED:
        raise NanochatError(f"{where.host}: ssh did not get there, or lost it; `ssh {where.host}` alone tells more")
    return code
