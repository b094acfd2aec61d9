"""field/brackets counts what a person would."""

from __future__ import annotations

import re

import pytest

from nanochat_field_text.brackets import matched, shuffled


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("f(a[0], {1: 2})", (3, 3)),
        ("f(a[0)]", (1, 2)),  # ) closes nothing while [ is open; ] then closes [
        (")))", (0, 3)),
        ("f((((", (0, 0)),  # cut off: no mistake
        ("no brackets", (0, 0)),
    ],
)
def test_counts(text: str, counts: tuple[int, int]) -> None:
    """Right ones, and all that close."""
    assert matched([text]) == counts


def test_texts_are_counted_apart() -> None:
    """A bracket left open in one text is not there for the next."""
    assert matched(["f(", ")"]) == (0, 1)


def test_shuffling_moves_brackets_only() -> None:
    """The same brackets, the same letters in the same places, the same result each time."""
    text = "f(a[b(c)]) + {d: (e)}"
    (other,) = shuffled([text])
    assert other != text and sorted(other) == sorted(text)
    assert re.sub(r"[()\[\]{}]", "_", other) == re.sub(r"[()\[\]{}]", "_", text)
    assert shuffled([text]) == [other]
