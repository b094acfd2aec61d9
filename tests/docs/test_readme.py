"""What the README states about presets is what the presets are; the mistakes that it shows are reported as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nanochat_framework.cli import main
from nanochat_framework.config.load import load_config
from nanochat_framework.config.presets import preset_names
from nanochat_framework.plugins import Registry
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([\w-]+)` \| ([\d,]+)(?:, [\d.]+[BM] active)? \|", README, re.MULTILINE))


def test_every_preset_is_listed() -> None:
    assert sorted(ROWS) == preset_names()


@pytest.mark.parametrize("name", preset_names())
def test_the_stated_size_is_the_true_one(name: str, registry: Registry) -> None:
    description = load_config(name, registry=registry).config.model.config.describe()
    assert int(ROWS[name].replace(",", "")) == sum(tensor.size for tensor in description.tensors())


def test_the_mistakes_shown_are_reported_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["config", "show", "tiny-cpu"]) == 0
    shown = capsys.readouterr().out
    Path("my.toml").write_text(
        shown.replace('"gqa"', '"gqaa"').replace("\nmomentum =", "\nmomentm ="), encoding="utf-8"
    )
    assert main(["config", "check", "my.toml"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and f"```text\n{said}```" in README
