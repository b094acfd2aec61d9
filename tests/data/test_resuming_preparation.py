"""A preparation that is killed or stopped anywhere goes on, and ends with the bytes of an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nanochat_framework.cli import main
from nanochat_framework.data import encoding
from nanochat_framework.data import prepare as prepare_module

PROGRAM = """
import sys
from nanochat_framework.data import encoding, prepare
prepare.COMMIT_BYTES = encoding.BATCH_BYTES = 20_000
from nanochat_framework.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for package in "abcdefgh":
        (folder / package).mkdir()
        for number in range(4):
            lines = "".join(f"def f{i}(x):\n\treturn x + {i * number}  # {package}\n" for i in range(400))
            (folder / package / f"m{number}.py").write_text(lines)
    (folder / "long.txt").write_text("One long document. It has many lines.\n" * 20_000)
    return folder


def _arguments(text: Path, output: Path, *more: str) -> list[str]:
    arguments = ["prepare-data", "--text", str(text), "--vocab-size", "400", "--output", str(output)]
    return [*arguments, "--encoder", "tokenizers", "--threads", "1", *more]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(text: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("undisturbed")
    assert main(_arguments(text, output)) == 0
    return _files(output)


def _run_until(arguments: list[str], output: Path, number: int, *, commits: int) -> tuple[int, str]:
    """Run in a process of its own, signal it after so many entries in its journal; its exit code and stderr."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stderr=subprocess.PIPE, text=True)
    journal = output / ".prepare" / "journal.json"
    deadline, seen = time.monotonic() + 60, {_content(journal)}
    while len(seen) <= commits and process.poll() is None:
        assert time.monotonic() < deadline
        seen.add(_content(journal))
    if process.poll() is None:
        os.kill(process.pid, number)
    _, errors = process.communicate()
    return process.returncode, errors


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def test_killed_again_and_again(text: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    for commits in (1, 2, 5, 3):
        code, errors = _run_until(_arguments(text, tmp_path), tmp_path, signal.SIGKILL, commits=commits)
        assert code == -signal.SIGKILL, errors
        assert sorted(path.name for path in tmp_path.iterdir()) == [".prepare"]
    code, errors = _run_until(_arguments(text, tmp_path), tmp_path, signal.SIGKILL, commits=10_000)
    assert code == 0, errors
    assert "going on: 0." in errors
    assert _files(tmp_path) == undisturbed


def test_ctrl_c_leaves_it_resumable(
    text: Path, undisturbed: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, errors = _run_until(_arguments(text, tmp_path), tmp_path, signal.SIGINT, commits=3)
    assert code == 3, errors
    assert "the same command again goes on from here" in errors
    assert "Traceback" not in errors
    assert main(_arguments(text, tmp_path)) == 0
    assert _files(tmp_path) == undisturbed


def test_killed_inside_one_long_document(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "COMMIT_BYTES", 100_000)
    monkeypatch.setattr(encoding, "BATCH_BYTES", 100_000)
    command = ["prepare-data", "--text", str(text / "long.txt"), "--vocab-size", "300", "--threads", "1"]
    assert main([*command, "--output", str(tmp_path / "whole")]) == 0
    real = prepare_module.Workspace.commit

    def dying(work: object, files: object, journal: dict) -> None:
        real(work, files, journal)  # type: ignore[arg-type]
        if journal["position"][1] > 0:
            raise ZeroDivisionError

    monkeypatch.setattr(prepare_module.Workspace, "commit", dying)
    assert main([*command, "--output", str(tmp_path / "halves")]) == 1
    monkeypatch.setattr(prepare_module.Workspace, "commit", real)
    assert main([*command, "--output", str(tmp_path / "halves")]) == 0
    assert _files(tmp_path / "halves") == _files(tmp_path / "whole")


def test_other_text_or_settings_start_anew(
    text: Path, undisturbed: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run_until(_arguments(text, tmp_path, "--seed", "7"), tmp_path, signal.SIGKILL, commits=2)
    assert main(_arguments(text, tmp_path)) == 0
    assert "unfinished preparation there is dropped: seed was 7, is 0" in capsys.readouterr().err
    assert _files(tmp_path) == undisturbed
