"""Blocks in the documents say what they are, and TOML in them is valid configuration.

A `toml` block stands on its own: laid over a small configuration it passes `config check`. `toml model` and `toml optimizer`
blocks are keys of that table. A block that names a file (`toml first.toml`) is what that file holds, for a page that is
followed as a whole. Commands stand in `sh` blocks, which are run or parsed; other blocks hold none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
import tomli_w

from nanochat_framework.config.load import load_config
from nanochat_framework.config.merge import merge
from nanochat_framework.plugins import Registry
from tests.conftest import REPOSITORY, tiny_dict

PAGES = sorted([REPOSITORY / "README.md", *REPOSITORY.glob("CONTRIBUTING.md"), *(REPOSITORY / "docs").glob("*.md")])
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
KNOWN = {"sh run", "sh plan", "sh clean", "toml", "toml model", "toml optimizer", "python", "text", "json", "html", ""}


def _is_file(tag: str) -> bool:
    language, _, name = tag.partition(" ")
    return language in ("toml", "python") and "." in name


def blocks() -> Iterator[Any]:
    for page in PAGES:
        for number, (tag, body) in enumerate(FENCE.findall(page.read_text(encoding="utf-8"))):
            yield pytest.param(tag, body, id=f"{page.name}-{number}")


@pytest.mark.parametrize(("tag", "body"), list(blocks()))
def test_a_block_says_what_it_is(tag: str, body: str) -> None:
    assert tag in KNOWN or _is_file(tag), f"tag it as one of {sorted(KNOWN)}"
    if not tag.startswith("sh"):
        assert not re.search(r"^(\$ )?nanochat [a-z]", body, re.MULTILINE), (
            "commands stand in `sh run` or `sh plan` blocks"
        )


@pytest.mark.parametrize(
    ("tag", "body"), [each for each in blocks() if each.values[0] in ("toml", "toml model", "toml optimizer")]
)
def test_toml_is_a_configuration(tag: str, body: str, registry: Registry, tmp_path: Path) -> None:
    shown, small = tomli.loads(body), tiny_dict(model__max_seq_len=2048, model__n_layers=4)
    (tmp_path / "taken").mkdir()  # what `nanochat import` leaves in docs/export.md
    (tmp_path / "taken" / "model.toml").write_text(tomli_w.dumps({"model": small["model"]}))
    if tag == "toml model":
        shown = {"model": shown}
    elif tag == "toml optimizer":
        shown = {"optimizer": [{**small["optimizer"][0], **shown}, small["optimizer"][1]]}
    elif "optimizer" in shown and shown["optimizer"][-1]["match"] != "*":
        shown["optimizer"].append(small["optimizer"][-1])
    if "name" in shown.get("model", {}):  # another model needs the sizes as well
        shown["model"] = {**small["model"], **shown["model"]}
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(merge(small, shown)))
    load_config(path, registry=registry)
