"""The filter language: what it means, and how it says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.errors import UsageError
from nanochat_tui.filters import Both, Comparison, Filter, Not, Word, number, parse

RUN: dict[str, list[Any]] = {
    "name": ["first-muon"],
    "alias": ["ground"],
    "state": ["running"],
    "lr": [0.02, 0.0001],
    "loss": [2.5],
    "age": [7200.0],
    "tag": ["good", "small"],
    "tie_embeddings": [True],
}


def fits(text: str) -> bool:
    found = parse(text)
    assert found is not None
    return found.fits(lambda field: RUN.get(field, []))


@pytest.mark.parametrize(
    "text",
    [
        "lr>0.01 and state=running",
        "lr>0.01 state=RUNNING",
        "muon",
        "GOOD",
        "tag=good tag=small",
        "alias=ground",
        "roun",
        "tag!=bad",
        "not tag=bad and age<=2h",
        "age>1h (state=failed or loss<2.6)",
        "state=failed or state=running",
        'name~"first-"',
        "name!~adam",
        "lr=2e-2",
        "tie_embeddings=true",
        "not (state=failed and loss<2.6)",
        "or=1 or state=running",
        "LOSS<9 or loss>2",
    ],
)
def test_what_fits(text: str) -> None:
    assert fits(text)


@pytest.mark.parametrize(
    "text", ["lr>1", "adamw", "tag=go", "tag!=good", "nothing>0", "loss<2.5", "name<3", "not muon"]
)
def test_what_does_not(text: str) -> None:
    assert not fits(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr>", "filter: a value is missing (after 'lr>')"),
        ("lr>fast", "filter: > needs a number, not 'fast' (after 'lr>')"),
        ("(a or b", "filter: a ) is missing (after '(a or b')"),
        ("a)", "filter: one ) too many (after 'a')"),
        (">3", "filter: a field is missing before >"),
        ("a and", "filter: a condition is missing at the end (after 'a and')"),
        ("or a", "filter: a condition is missing beside or (after 'or')"),
        ("()", "filter: a condition is missing before ) (after '(')"),
        ('name="x', "filter: a \" that is not closed (after 'name=')"),
        ("a ! b", "filter: '!' means nothing here (after 'a')"),
    ],
)
def test_mistakes_are_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text)
    assert str(error.value) == message


@given(st.text(alphabet='ab=<>!~()"1 .andort\n', max_size=40))
def test_any_text_is_a_filter_or_one_line(text: str) -> None:
    try:
        found = parse(text)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert (found is None) == (not text.strip())


PLAIN = st.text(alphabet="abcdelor_.019", min_size=1, max_size=6)
FIELDS = PLAIN.filter(lambda text: text not in ("and", "or", "not"))
LEAVES: st.SearchStrategy[Filter] = st.one_of(
    PLAIN.map(Word),
    st.builds(Comparison, FIELDS, st.sampled_from(["=", "!=", "~", "!~"]), PLAIN),
    st.builds(Comparison, FIELDS, st.sampled_from(["<", "<=", ">", ">="]), st.integers(0, 99).map(str)),
)
TREES = st.recursive(LEAVES, lambda parts: parts.map(Not) | st.builds(Both, parts, parts, st.booleans()), max_leaves=8)


@settings(max_examples=60)
@given(TREES)
def test_a_filter_that_is_written_down_is_read_back(tree: Filter) -> None:
    assert parse(str(tree)) == tree


def test_numbers() -> None:
    assert [number(text) for text in ("3e-4", "12k", "1.5M", "2h", "-1", ".5", "x", "1kk")] == [
        3e-4, 12e3, 1.5e6, 7200.0, -1.0, 0.5, None, None,
    ]  # fmt: skip


def test_deep_brackets_are_an_error_and_no_crash() -> None:
    with pytest.raises(UsageError, match="too deep"):
        parse("(" * 5000 + "a" + ")" * 5000)
