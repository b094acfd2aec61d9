"""Documents from files, folders and patterns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nanochat_framework.data.file_text import FileText
from nanochat_framework.errors import NanochatError, UsageError
from nanochat_sources.config import TextConfig
from nanochat_sources.text import LARGE_FILE_BYTES, TextSource


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("top.txt", "x/one.txt", "x/deep/two.txt", "y/three.md", ".git/config", "x/.secret"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _groups(*paths: str) -> dict[str, str]:
    return {document.name: document.group for document in TextSource(TextConfig(paths=paths)).documents()}


def test_a_folder_is_grouped_by_its_top_level(folder: Path) -> None:
    assert _groups(".") == {"top.txt": "top.txt", "x/deep/two.txt": "x", "x/one.txt": "x", "y/three.md": "y"}


def test_patterns_and_files(folder: Path) -> None:
    assert _groups("**/*.txt") == {"top.txt": ".", "x/deep/two.txt": "x/deep", "x/one.txt": "x"}
    assert _groups("y/three.md", "top.txt") == {"top.txt": "top.txt", "y/three.md": "y/three.md"}


def test_a_file_named_twice_is_one_document(folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder / "top.txt")
    assert len(_groups("x", str(folder / "x"), "x/one.txt", "./x/../x")) == 2
    assert len(_groups("top.txt", "link.txt")) == 1


@pytest.mark.parametrize("path", ["nowhere", "*.nothing", "empty", ""])
def test_nothing_to_read(folder: Path, path: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no such file|no files in|empty path"):
        TextSource(TextConfig(paths=(path,)))


def test_a_pipe_is_refused_at_once(folder: Path) -> None:
    os.mkfifo("pipe")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        TextSource(TextConfig(paths=("pipe",)))


def test_what_cannot_be_read_is_counted_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = TextSource(TextConfig(paths=("x", "y")))
    (folder / "y/three.md").unlink()
    (folder / "x/one.txt").unlink()
    assert [[document.name for document in source.documents()] for _ in range(2)] == [["x/deep/two.txt"]] * 2
    errors = capsys.readouterr().err.splitlines()
    assert errors == ["warning: 2 files left out, the first is x/one.txt: No such file or directory"]


def test_a_large_file_stays_where_it_is(folder: Path) -> None:
    content = b"0123456789abcde\n" * (LARGE_FILE_BYTES // 16)
    (folder / "large.txt").write_bytes(content)
    (document,) = TextSource(TextConfig(paths=("large.txt",))).documents()
    assert isinstance(document.data, FileText)
    assert len(document.data) == len(content)
    assert document.data[100:200] == content[100:200]
    assert document.data.part(50, 500)[10:40] == content[60:90]
    (folder / "large.txt").write_bytes(b"short")
    with pytest.raises(NanochatError, match="became shorter"):
        document.data[100:200]
