"""The split: whole groups; single documents where there is one group; the end where there is one document."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.contracts.source import Document, DocumentSource
from nanochat_framework.data.corpus import Corpus
from nanochat_framework.data.split import cut_in_two, held_out_groups
from nanochat_framework.errors import UsageError


class _Listed(DocumentSource):
    def __init__(self, *documents: tuple[str, str, bytes]) -> None:
        self._documents = [Document(*document) for document in documents]

    def documents(self) -> Iterator[Document]:
        yield from self._documents


@given(
    sizes=st.dictionaries(st.text(min_size=1, max_size=5), st.integers(1, 1000), min_size=0, max_size=20),
    fraction=st.floats(0, 0.5),
    seed=st.integers(0, 3),
)
def test_the_split_leaves_something_on_both_sides(sizes: dict[str, int], fraction: float, seed: int) -> None:
    chosen = held_out_groups(sizes, fraction, seed)
    assert chosen <= set(sizes)
    assert chosen == held_out_groups(dict(reversed(sizes.items())), fraction, seed)
    if len(sizes) >= 2 and fraction > 0:
        assert 0 < len(chosen) < len(sizes)
    else:
        assert not chosen


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=50)), min_size=1, max_size=30),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.integers(0, 3),
)
def test_no_group_is_on_both_sides(documents: list[tuple[str, bytes]], fraction: float, seed: int) -> None:
    listed = [(f"{group}{number}", group, data) for number, (group, data) in enumerate(documents)]
    if not any(data for _, data in documents):
        with pytest.raises(UsageError, match="no text"):
            Corpus(_Listed(*listed), fraction, seed)
        return
    sides = list(Corpus(_Listed(*listed), fraction, seed))
    assert b"".join(bytes(document.data) for _, document in sides) == b"".join(data for _, data in documents)
    assert sides == list(Corpus(_Listed(*listed), fraction, seed))
    groups = {held_out: {document.group for side, document in sides if side == held_out} for held_out in (False, True)}
    if len({group for group, data in documents if data}) > 1:
        assert not groups[False] & groups[True]
        assert bool(groups[True]) == (fraction > 0)


def test_a_single_group_is_split_by_document(capsys: pytest.CaptureFixture[str]) -> None:
    corpus = Corpus(_Listed(*((f"d{number}", "g", b"x" * 100) for number in range(20))), 0.1, 0)
    assert sum(held_out for held_out, _ in corpus) == 2
    assert "one group of documents only" in capsys.readouterr().err


def test_holding_out_much_more_than_asked_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Corpus(_Listed(("a", "a", b"x" * 100), ("b", "b", b"x" * 100)), 0.05, 0)
    assert "50% of the text is held out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "fraction", "tail"),
    [
        (b"one\n\ntwo\nthree\n\nfour four", 0.2, b"four four"),
        (b"one two three\nfour five six\nseven", 0.1, b"seven"),
        ("語".encode() * 20, 0.16, "語".encode() * 4),
    ],
)
def test_a_document_is_cut_where_it_pauses(data: bytes, fraction: float, tail: bytes) -> None:
    head, end = cut_in_two(Document("d", "d", data), fraction)
    assert (head.data, end.data) == (data.removesuffix(tail), tail)
