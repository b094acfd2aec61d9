"""What a person names as a file: files and pipes are read, what might never end is refused."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanochat_framework.cli import main
from nanochat_framework.cli.prompts import read_prompts
from nanochat_framework.errors import UsageError
from nanochat_framework.machine.reading import read_named


@pytest.fixture
def no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Neither a file nor a pipe: a socket, which anybody may make, as few may make a device."""
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
        yield Path("s")


def test_files_and_pipes_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert read_named(tmp_path / "file") == read_named(tmp_path / "link") == b"text"
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"piped",))
    writer.start()
    assert read_named(tmp_path / "pipe") == b"piped"
    writer.join()


def test_the_system_s_word_on_a_folder_and_on_nothing(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_named(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_named(tmp_path / "none")


def test_what_is_no_file_is_refused(no_file: Path) -> None:
    with pytest.raises(UsageError, match=r"^s: is a device, not a file$"):
        read_named(no_file)
    with pytest.raises(UsageError, match=r"^s: is a device, not a file$"):
        read_prompts([], no_file)


@pytest.mark.parametrize("command", [("config", "check"), ("train",), ("tokenizer", "eval")])
def test_commands_refuse_it_in_one_line(
    no_file: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert main([*command, str(no_file)]) == 2
    assert capsys.readouterr().err == "error: s: is a device, not a file\n"
