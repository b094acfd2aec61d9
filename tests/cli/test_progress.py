"""One line that is rewritten on a terminal; now and then a plain line elsewhere."""

from __future__ import annotations

import io

import pytest

from nanochat_framework.cli import progress
from nanochat_framework.cli.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("total", [1000.0, None])
def test_a_terminal_gets_one_line(monkeypatch: pytest.MonkeyPatch, total: float | None) -> None:
    monkeypatch.setattr(progress, "_REDRAW_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", "50")
    stream = _Terminal()
    with Progress("encoding", total, "MB", scale=0.1, stream=stream) as bar:
        for _ in range(10):
            bar.advance(100)
    lines = stream.getvalue().split("\r")[1:]
    assert len(lines) == 11
    assert stream.getvalue().count("\n") == 1
    assert all(len(line.rstrip("\n")) < 50 for line in lines)
    assert "100.0" in lines[-1]


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    with Progress("encoding", 1000, "MB", stream=stream) as bar:
        bar.advance(100)
        assert stream.getvalue() == ""
        monkeypatch.setattr(progress, "_PLAIN_LINE_SECONDS", 0.0)
        bar.advance(100)
    assert stream.getvalue().startswith("encoding  200.0/1,000.0 MB")
    assert stream.getvalue().count("\n") == 1
    assert "\r" not in stream.getvalue()


def test_a_program_that_follows_gets_every_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    progress.stage("reading")
    monkeypatch.setenv(progress.SECONDS_VARIABLE, "often")
    progress.stage("reading")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(progress.SECONDS_VARIABLE, "0")
    progress.stage("reading")
    assert capsys.readouterr().err == "reading…\n"
    stream = io.StringIO()
    with Progress("encoding", 2, "MB", stream=stream) as bar:
        bar.advance(1)
        bar.advance(1)
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["1.0/2.0 MB", "2.0/2.0 MB", "2.0/2.0 MB"]
    with Progress("short", 1, "MB", stream=stream):
        pass
    assert "short  0.0/1.0 MB" in stream.getvalue()
