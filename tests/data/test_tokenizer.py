"""The tokenizer against the two libraries it stands on, and its file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.data.special_tokens import FIRST_BYTE_ID, SMALLEST_VOCABULARY, SPECIAL_TOKENS
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from tests.laws.test_law_08_tokenizer_round_trip import TEXTS, TOKENIZER

RESERVED = [{"content": text, "id": number} for number, text in enumerate(SPECIAL_TOKENS)]


def test_the_first_ids_are_reserved() -> None:
    assert len(SPECIAL_TOKENS) == FIRST_BYTE_ID == 33
    assert [TOKENIZER.special(name) for name in SPECIAL_TOKENS] == list(range(33))
    assert (TOKENIZER.bos_id, TOKENIZER.eos_id, TOKENIZER.pad_id) == (0, 1, 2)
    assert {TOKENIZER.token_bytes(number) for number in range(33, 289)} == {bytes([byte]) for byte in range(256)}
    assert TOKENIZER.vocab_size == 340
    assert list(TOKENIZER.byte_lengths[:34]) == [0] * 33 + [1]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80))
def test_transformers_gives_equal_ids(text: str) -> None:
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer as Backend

    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=Backend.from_str(TOKENIZER.to_json()))
    fast.backend_tokenizer.encode_special_tokens = True
    assert fast(text, add_special_tokens=False)["input_ids"] == TOKENIZER.encode(text)


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(TOKENIZER.to_json(), encoding="utf-8")
    loaded = Tokenizer.load(path)
    assert loaded.fingerprint == TOKENIZER.fingerprint
    assert loaded.encode("def main():") == TOKENIZER.encode("def main():")
    assert Tokenizer.train(TEXTS, 320).fingerprint != TOKENIZER.fingerprint


def test_training_is_deterministic() -> None:
    assert Tokenizer.train(TEXTS, 340).fingerprint == TOKENIZER.fingerprint


def test_a_small_corpus_gives_a_small_vocabulary() -> None:
    tokenizer = Tokenizer.train(["ab ab ab"], 2000)
    assert SMALLEST_VOCABULARY < tokenizer.vocab_size < 300


def test_no_room_for_bytes() -> None:
    with pytest.raises(UsageError, match="at least 289"):
        Tokenizer.train(TEXTS, 288)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "not a tokenizer.json"),
        ("[]", "not a tokenizer.json"),
        ("{}", "not a tokenizer.json of a BPE model"),
        (json.dumps({"model": {"vocab": {"a": 0}, "merges": []}, "added_tokens": []}), "reserved special tokens"),
        (json.dumps({"model": {"vocab": {"a": 50}, "merges": []}, "added_tokens": RESERVED}), "without gaps"),
    ],
)
def test_a_foreign_file_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as error:
        Tokenizer.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
