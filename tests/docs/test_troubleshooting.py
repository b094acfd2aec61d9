"""What docs/troubleshooting.md quotes is what the program says: each message is held against the texts in the source."""

from __future__ import annotations

import ast
import re

import pytest

from nanochat_framework.plugins import Registry
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^(?:error|alert|warning): .+$", PAGE, re.MULTILINE)
_FEWEST = 8
"""Letters that a piece of text in the source must have to count."""


def _pieces() -> set[str]:
    """The strings of the source, those between what is filled in too."""
    found = set()
    for folder in ("nanochat_framework", "plugins"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) >= _FEWEST:
                    found.add(node.value)
    return found


PIECES = _pieces()


def told(message: str) -> float:
    """The share of a message's letters that stand in the source."""
    covered = set[int]()
    for piece in PIECES:
        start = message.find(piece)
        if start >= 0:
            covered.update(range(start, start + len(piece)))
    return len(covered) / len(message)


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_is_ours(message: str) -> None:
    assert told(message) > 0.25


def test_an_invented_message_is_not() -> None:
    assert len(QUOTED) >= 10
    assert told("the flux capacitor of run 'first' is not charged; plug it in") < 0.2


def test_every_extra_and_setting_it_names_is_there() -> None:
    from nanochat_framework.config.known_keys import section_keys

    keys = {f"{section}.{key}" for section, inner in section_keys() for key in inner}
    named = re.findall(r"`((?:train|eval|data|checkpoint)\.[a-z_]+)(?: = [^`]*)?`", PAGE)
    assert len(named) > 10
    assert set(named) <= keys


def test_the_components_it_lists_are_those_there_are(registry: Registry) -> None:
    lists = re.findall(r"unknown (\w+) '[^']*'.*? Available: ([\w, ]+)\.", PAGE)
    assert lists
    for kind, names in lists:
        assert names.split(", ") == registry.names(kind)
