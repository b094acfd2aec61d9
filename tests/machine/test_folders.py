"""The user's folders, by the XDG Base Directory Specification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nanochat_framework.machine.folders import cache_folder, config_folder, state_folder


@pytest.mark.parametrize(
    ("variable", "usual", "folder"),
    [
        ("XDG_CACHE_HOME", ".cache", cache_folder),
        ("XDG_CONFIG_HOME", ".config", config_folder),
        ("XDG_STATE_HOME", ".local/state", state_folder),
    ],
)
def test_absolute_paths_count_and_relative_ones_do_not(
    variable: str, usual: str, folder: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert folder() == tmp_path / "elsewhere" / "nanochat"
    for ignored in ("state", "./state", ""):
        monkeypatch.setenv(variable, ignored)
        assert folder() == tmp_path / "home" / usual / "nanochat"
    monkeypatch.delenv(variable)
    assert folder() == tmp_path / "home" / usual / "nanochat"
