"""acme/widget cuts where it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanochat_framework.errors import UsageError
from nanochat_framework.plugins import load_plugins


def test_paragraphs(tmp_path: Path) -> None:
    """Blank lines part paragraphs, lines do not; a second pass gives the same."""
    (tmp_path / "a.txt").write_bytes(b"first\nline two\n\n  \n\nsecond\r\n\r\nthird \xff")
    component = load_plugins().registry.get("source", "acme/widget")
    source = component.load_factory()(component.config_class()(paths=[str(tmp_path / "a.txt")]))
    found = [document.data for document in source.documents()]
    assert found == [b"first\nline two", b"second\r", b"third \xff"]
    assert [document.data for document in source.documents()] == found


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    """The message has the path and the reason."""
    component = load_plugins().registry.get("source", "acme/widget")
    source = component.load_factory()(component.config_class()(paths=[str(tmp_path / "missing.txt")]))
    with pytest.raises(UsageError, match=r"missing\.txt: No such file"):
        list(source.documents())
