"""The line scanner against TOML that a library wrote, with keys and strings made to mislead it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tomli
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.config.toml_lines import key_lines, line_of

SAMPLE = """\
top = 1
# a comment with [brackets]
[model]
name = "x # not a comment"
attention = { name = "gqa", n = [1,
  2] }
text = \"\"\"
[not.a.table]
key = 1
\"\"\"
after = 1

[[optimizer]]
lr = 1
[[optimizer]]
"odd key" = 2
a.b = 3
[optimizer.schedule]
name = 'w'
[deep.er.table]
x = 1
"""


def test_a_file_with_everything() -> None:
    lines = key_lines(SAMPLE)
    assert tomli.loads(SAMPLE)["optimizer"][1]["schedule"] == {"name": "w"}
    expected = {
        ("top",): 1,
        ("model",): 3,
        ("model", "name"): 4,
        ("model", "attention"): 5,
        ("model", "text"): 7,
        ("model", "after"): 11,
        ("optimizer", 0): 13,
        ("optimizer", 0, "lr"): 14,
        ("optimizer", 1): 15,
        ("optimizer", 1, "odd key"): 16,
        ("optimizer", 1, "a"): 17,
        ("optimizer", 1, "a", "b"): 17,
        ("optimizer", 1, "schedule"): 18,
        ("optimizer", 1, "schedule", "name"): 19,
        ("deep",): 20,
        ("deep", "er", "table", "x"): 21,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert line_of(lines, ("model", "attention", "n", 1)) == 5
    assert line_of(lines, ("nowhere",)) is None


MISLEADING = st.sampled_from(
    [
        "[a]",
        "a = 1",
        "\na = 1\n",
        "[[a]]\n",
        '"',
        "'",
        '"""',
        "'''",
        "\\",
        "#",
        "= [",
        "{",
        "]",
        "\u0085",
        "\u2028",
        "é",
    ]
)
NAMES = st.one_of(st.sampled_from("abc"), st.text(min_size=1, max_size=4), MISLEADING)
LEAVES = st.one_of(
    st.none(), st.text(max_size=8), st.lists(MISLEADING, max_size=4).map("".join), st.lists(st.just("["))
)
TABLES = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=4),
    lambda inner: st.dictionaries(NAMES, st.one_of(LEAVES, inner, st.lists(inner, max_size=3)), max_size=4),
    max_leaves=12,
)


def numbered(node: Any, count: Iterator[int]) -> Any:
    """Every None becomes a number that stands nowhere else in the document."""
    if isinstance(node, dict):
        return {key: numbered(value, count) for key, value in node.items()}
    if isinstance(node, list):
        return [numbered(value, count) for value in node]
    return next(count) if node is None else node


def leaves(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], int]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from leaves(value, (*path, number))
    elif isinstance(node, int):
        yield path, node


@settings(max_examples=400, deadline=None)
@given(TABLES, st.booleans())
def test_every_key_is_found_on_its_line(data: dict[str, Any], multiline: bool) -> None:
    data = numbered(data, iter(range(10_000_000, 20_000_000)))
    text = tomli_w.dumps(data, multiline_strings=multiline)
    rows = text.split("\n")
    lines = key_lines(text)
    for path, value in leaves(tomli.loads(text)):
        if path in lines:
            assert str(value) in rows[lines[path] - 1]
        else:  # inside an inline table: the line of the key that holds it, above the value
            line = line_of(lines, path)
            assert line is not None
            assert any(str(value) in row for row in rows[line - 1 :])
            assert "{" in "\n".join(rows[line - 1 :])


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_no_text_confuses_it_beyond_a_wrong_line(text: str) -> None:
    for line in key_lines(text).values():
        assert 1 <= line <= text.count("\n") + 1
