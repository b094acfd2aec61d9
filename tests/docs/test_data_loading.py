"""The TOML of docs/data-loading.md is valid as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomli
import tomli_w

from nanochat_framework.config.load import load_config
from nanochat_framework.plugins import Registry
from tests.conftest import REPOSITORY, tiny_dict

PAGE = REPOSITORY / "docs" / "data-loading.md"
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_toml(registry: Registry, tmp_path: Path, block: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(tomli_w.dumps(tiny_dict(model__max_seq_len=2048, **tomli.loads(block))))
    assert load_config(path, registry=registry).warnings == ()


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 4
