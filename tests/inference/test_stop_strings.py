"""Stop strings: the same text however it is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.errors import UsageError
from nanochat_framework.inference.stop_strings import StopStrings

TEXT = st.text(alphabet="abé\n", max_size=30)
STOPS = st.lists(st.text(alphabet="abé\n", min_size=1, max_size=4), max_size=3)


def by_definition(text: str, stops: list[str]) -> tuple[str, str | None]:
    """Read a character at a time; end where a stop string is complete (of several, the longest)."""
    for end in range(len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            longest = max(complete, key=len)
            return text[: end - len(longest)], longest
    return text, None


@given(TEXT, STOPS, st.lists(st.integers(0, 30), max_size=6))
@settings(deadline=None)
def test_any_pieces_give_the_defined_text(text: str, stops: list[str], cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    machine = StopStrings(stops)
    shown = ""
    for start, end in pairwise(edges):
        shown += machine.feed(text[start:end])
        assert not any(stop in shown for stop in stops)
    shown += machine.flush()
    assert (shown, machine.matched) == by_definition(text, stops)


def test_text_that_cannot_be_a_stop_string_is_shown_at_once() -> None:
    machine = StopStrings(["END"])
    assert machine.feed("xE") == "x"
    assert machine.feed("x") == "Ex"
    assert machine.feed("EN") == ""
    assert machine.feed("D more") == ""
    assert machine.matched == "END"
    assert machine.feed("anything") == "" and machine.flush() == ""


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UsageError, match="stop string is empty"):
        StopStrings(["a", ""])
