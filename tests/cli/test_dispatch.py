"""The `nanochat` command itself: help, mistakes, exit codes, pipes, and commands that other distributions bring."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from nanochat_framework import cli
from nanochat_framework.errors import NanochatError, StoppedOnRequest

NANOCHAT = [sys.executable, "-m", "nanochat_framework"]


def run(*arguments: str, path: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with a folder of distributions on its path."""
    environment = {**os.environ, **environ}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run([*NANOCHAT, *arguments], capture_output=True, text=True, check=False, env=environment)


def test_help_lists_every_command_in_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert cli.main([]) == 0
    assert capsys.readouterr().out == text
    for heading, commands in cli.COMMANDS.items():
        assert f"\n{heading}:\n" in text
        for name, (module, summary) in commands.items():
            assert summary == import_module(f"nanochat_framework.cli.{module}").HELP
            assert any(line.split() == [name, *summary.split()] for line in text.splitlines())
    assert "examples:" in text


@pytest.mark.parametrize("name", [name for commands in cli.COMMANDS.values() for name in commands])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"usage: nanochat {name}")
    assert "examples:" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'? (`nanochat --help`)"),
        (["--jsn"], "unknown option --jsn; a command comes first (`nanochat --help`)"),
        (["train", "x", "--confg=y"], "unknown option --confg; did you mean --config? (`nanochat train --help`)"),
        (["plugins", "list", "--jsn"], "unknown option --jsn; did you mean --json? (`nanochat plugins --help`)"),
        (["plugins", "list", "more"], "unexpected argument 'more' (`nanochat plugins --help`)"),
        (["config", "chek", "x"], "argument check|show|diff|schema: invalid choice: 'chek' (choose from"),
        (["config", "check"], "the following arguments are required: config (`nanochat config check --help`)"),
        (["train", "x", "--epoch", "3"], "unknown option --epoch; did you mean --epochs?"),
        (["components", "list", "optimiser"], "no kind of component 'optimiser'; did you mean 'optimizer'?"),
        (["components", "show", "optimizer", "moun"], "unknown optimizer 'moun'; did you mean 'muon'?"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {message}") or message in captured.err
    assert captured.err.count("\n") == 1


class _Command(SimpleNamespace):
    """A command whose run raises what it is given."""

    HELP = "fails"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        pass

    def run(self, arguments: argparse.Namespace) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (NanochatError("one\ntwo"), 1, "error: one\nerror: two\n"),
        (StoppedOnRequest("stopped; resume goes on"), 3, "stopped; resume goes on\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(7), 7, ""),
        (PermissionError(13, "Permission denied", "runs/x"), 1, "error: runs/x: Permission denied\n"),
        (MemoryError(), 1, "error: out of memory\n"),
        (
            KeyError("x"),
            1,
            "internal error: KeyError: 'x' (set NANOCHAT_TRACEBACK=1 for the traceback; please report it)\n",
        ),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NANOCHAT_TRACEBACK", raising=False)
    monkeypatch.setattr(cli, "_module", lambda name: _Command(error=error))
    assert cli.main(["fails"]) == code
    assert capsys.readouterr().err == shown


def test_the_traceback_is_there_for_those_who_ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_module", lambda name: _Command(error=ValueError("deep")))
    monkeypatch.setenv("NANOCHAT_TRACEBACK", "1")
    assert cli.main(["fails"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(("chosen", "spins"), [(None, "30000"), ("ACTIVE", None)])
def test_threads_spin_briefly_unless_the_person_chose(
    chosen: str | None, spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if chosen is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", chosen)
    seen: list[str | None] = []
    command = SimpleNamespace(
        configure=lambda parser: None, run=lambda _: seen.append(os.environ.get("GOMP_SPINCOUNT"))
    )
    monkeypatch.setattr(cli, "_module", lambda name: command)
    assert cli.main(["anything"]) == 0
    assert seen == [spins]


def test_a_reader_that_leaves_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*NANOCHAT, "config", "show", "tiny-cpu"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*NANOCHAT, "components", "list"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"error: No space left on device\n")


@pytest.mark.parametrize(
    ("command", "closed", "expected"),
    [
        ("config show tiny-cpu", ">&-", (0, "", "")),
        ("runs --help", ">&-", (0, "", "")),
        ("runs show nope", ">&-", (2, "", "error: no run 'nope' in runs, and no run at all\n")),
        ("runs show nope", "2>&-", (2, "", "")),
        ("runs rm nope", "<&-", (2, "", "error: no run 'nope' in runs, and no run at all\n")),
        ("runs show nope", "<&- >&- 2>&-", (2, "", "")),
    ],
)
def test_streams_that_are_closed(command: str, closed: str, expected: tuple[int, str, str], tmp_path: Path) -> None:
    """They lead nowhere; a file that is opened instead of them would get what was meant for them."""
    script = f'"$0" -m nanochat_framework {command} {closed}'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == expected


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_error_that_nobody_can_be_told_has_its_code(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*NANOCHAT, "runs", "show", "nope"], stdout=full, stderr=full, check=False, cwd=tmp_path)
    assert done.returncode == 2


def test_a_terminal_of_another_encoding_shows_codes() -> None:
    done = run("components", "show", "optimizer", "muon", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "lr \\xb7 weight_decay" in done.stdout


COMMAND = '''"""Try every learning rate."""
import sys
sys.stderr.write("imported\\n")
def configure(parser):
    parser.add_argument("--fast", action="store_true")
def run(arguments):
    print("fast" if arguments.fast else "slow")
    return 0
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Distributions with commands: good, with a HELP, broken, incomplete, and two that disagree."""

    def install(distribution: str, entry: str, files: dict[str, str]) -> None:
        info = tmp_path / f"{distribution}-2.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text(f"[nanochat.commands]\n{entry}\n")
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)

    install(
        "sweeper",
        "sweep = sweeper.command",
        {"sweeper/__init__.py": "import helped_module", "sweeper/command.py": COMMAND},
    )
    install("helped", "helped = helped_module", {"helped_module.py": "HELP = 'from HELP'\n" + COMMAND})
    install("broken", "broken = broken_module", {"broken_module.py": "def f(:\n"})
    install("gone", "gone = no_such_module", {})
    install("partial", "partial = partial_module", {"partial_module.py": "def configure(parser): ...\n"})
    install("one", "twice = helped_module", {})
    install("two", "twice = partial_module", {})
    install("greedy", "train = partial_module", {})
    return tmp_path


def test_commands_of_others_are_listed_without_importing_them(folder: Path) -> None:
    done = run("--help", path=folder)
    assert (done.returncode, done.stderr) == (0, "")
    theirs = done.stdout.partition("from plugins:\n")[2].partition("\n\n")[0]
    assert [line.split(maxsplit=1) for line in theirs.splitlines()] == [
        ["broken", "from broken"],
        ["gone", "from gone"],
        ["helped", "from HELP"],
        ["partial", "from partial"],
        ["sweep", "Try every learning rate."],
        ["tui", "watch and steer runs on one screen in the terminal"],
        ["twice", "(declared by one and two: uninstall one of them)"],
    ]


def test_commands_of_others_run_as_ours_do(folder: Path) -> None:
    done = run("sweep", "--fast", path=folder)
    assert (done.returncode, done.stdout) == (0, "fast\n")
    assert run("sweep", "--fas", path=folder).returncode == 2
    assert "did you mean 'sweep'" in run("sweeep", path=folder).stderr
    assert run("train", "--help", path=folder).stdout.startswith("usage: nanochat train"), "ours are never replaced"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "command 'broken' of broken 2.0 cannot be loaded: SyntaxError"),
        ("gone", "command 'gone' of gone 2.0 cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("partial", "command 'partial' of partial 2.0 has no run()"),
        ("twice", "command 'twice' is declared by one 2.0 and two 2.0; uninstall one of them"),
    ],
)
def test_a_command_that_cannot_run_is_one_line(folder: Path, name: str, message: str) -> None:
    done = run(name, path=folder)
    assert done.returncode == 4
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
