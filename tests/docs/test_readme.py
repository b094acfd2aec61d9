"""What the README states about presets is what the presets are."""

from __future__ import annotations

import re

import pytest

from nanochat_framework.config.load import load_config
from nanochat_framework.config.presets import preset_names
from nanochat_framework.plugins import Registry
from tests.conftest import REPOSITORY

ROWS = dict(
    re.findall(
        r"^\| `([\w-]+)` \| ([\d,]+)(?:, [\d.]+[BM] active)? \|", (REPOSITORY / "README.md").read_text(), re.MULTILINE
    )
)


def test_every_preset_is_listed() -> None:
    assert sorted(ROWS) == preset_names()


@pytest.mark.parametrize("name", preset_names())
def test_the_stated_size_is_the_true_one(name: str, registry: Registry) -> None:
    description = load_config(name, registry=registry).config.model.config.describe()
    assert int(ROWS[name].replace(",", "")) == sum(tensor.size for tensor in description.tensors())
