"""Python in the documents: it compiles, names nothing that is not there, and the plugins that it shows are plugins."""

from __future__ import annotations

import ast
import builtins
import textwrap
from collections.abc import Iterator

import pytest

from nanochat_framework.testing import check_panels
from tests.conftest import REPOSITORY
from tests.docs.test_blocks import blocks
from tests.plugins.place import Place

PYTHON = [each for each in blocks() if each.values[0].partition(" ")[0] == "python"]


def _bound(tree: ast.AST) -> Iterator[str]:
    """Names that a piece of Python gives a meaning to, in any scope."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def unknown_names(source: str) -> set[str]:
    """Names that are read and are neither Python's nor given a meaning."""
    tree = ast.parse(textwrap.dedent(source))
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return read - set(_bound(tree)) - set(dir(builtins))


@pytest.mark.parametrize(("tag", "body"), PYTHON)
def test_it_names_nothing_that_is_not_there(tag: str, body: str) -> None:
    assert not unknown_names(body)


def test_what_is_not_there_is_found() -> None:
    assert unknown_names("def f(x):\n    print(x, file=log)") == {"log"}


def test_the_panel_that_is_shown_keeps_its_contract(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = (each.values[1] for each in PYTHON if "def nanochat_panels" in str(each.values[1]))
    place = Place(tmp_path_factory.mktemp("shown"))
    place.install("shown", __init__=str(source))
    monkeypatch.setenv("PYTHONPATH", f"{place.folder}:{REPOSITORY}")
    check_panels("shown")
