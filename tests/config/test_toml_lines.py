"""The line scanner against TOML that a library wrote."""

from __future__ import annotations

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
        ("optimizer", 1, "a", "b"): 17,
        ("optimizer", 1, "schedule"): 18,
        ("optimizer", 1, "schedule", "name"): 19,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert line_of(lines, ("model", "attention", "n", 1)) == 5
    assert line_of(lines, ("nowhere",)) is None


NAMES = st.text(min_size=1, max_size=6)
SCALARS = st.one_of(st.integers(-9, 9), st.booleans(), st.text(max_size=12), st.lists(st.integers(0, 9), max_size=3))
TABLES = st.dictionaries(NAMES, SCALARS, max_size=4)
DOCUMENTS = st.dictionaries(
    NAMES, st.one_of(SCALARS, TABLES, st.lists(TABLES.filter(bool), min_size=1, max_size=3)), max_size=4
)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
def test_every_key_is_found_on_its_line(data: dict[str, Any]) -> None:
    text = tomli_w.dumps(data)
    rows = text.split("\n")
    lines = key_lines(text)
    for key, value in data.items():
        members = value if isinstance(value, list) and value and isinstance(value[0], dict) else None
        inner = list(enumerate(members)) if members else [(None, value)] if isinstance(value, dict) else []
        for number, table in inner:
            for name in table:
                path = (key, name) if number is None else (key, number, name)
                found = line_of(lines, path)
                assert found is not None
                spelled = [tomli_w.dumps({part: 0}).removesuffix(" = 0\n") for part in (name, key)]
                assert any(part in rows[found - 1] for part in spelled)
