"""Byte-level vocabularies of others: their ids, every byte back, and one line for those that cannot do that."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.data.encoders import ENCODERS, TRICKY, build_encoder
from nanochat_framework.data.foreign_vocabulary import with_roles
from nanochat_framework.data.stream_decoder import StreamDecoder
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from tests.data.foreign import KINDS, foreign_definition

ROLES: dict[str, dict[str, Any]] = {
    "gpt2": {"begins": False, "bos": None, "eos": ["<|endoftext|>"], "pad": None},
    "qwen": {"begins": False, "bos": None, "eos": ["<|im_end|>", "<|endoftext|>"], "pad": "<|endoftext|>"},
    "llama3": {"begins": True, "bos": "<|begin_of_text|>", "eos": ["<|end_of_text|>", "<|eot_id|>"], "pad": None},
}
RAW = {kind: foreign_definition(kind) for kind in KINDS}
OURS = {kind: Tokenizer(with_roles(RAW[kind], **ROLES[kind])) for kind in KINDS}
TEXTS = st.text(max_size=80) | st.sampled_from([*TRICKY, "<|endoftext|>", "<think>x</think>", "<|begin_of_text|>"])


def _theirs(kind: str) -> Any:
    from tokenizers import Tokenizer as Backend

    backend = Backend.from_str(json.dumps(RAW[kind]))
    backend.encode_special_tokens = True
    return backend


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXTS)
def test_ids_are_theirs(kind: str, text: str) -> None:
    """For text in NFC, which is all that Qwen's normalizer leaves alone."""
    text = unicodedata.normalize("NFC", text)
    assert OURS[kind].encode(text) == _theirs(kind).encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(max_size=80) | TEXTS.map(str.encode) | st.sampled_from([b"e\xcc\x81 \xff\xfe\r\n\x00", b"\xc3"]))
def test_every_byte_string_comes_back(kind: str, data: bytes) -> None:
    tokenizer = OURS[kind]
    ids = tokenizer.encode(data)
    assert tokenizer.decode_bytes(ids) == data
    assert sum(tokenizer.byte_lengths[ids]) == len(data)
    assert not set(ids) & set(tokenizer.special_ids.values())
    decoder = StreamDecoder(tokenizer)
    text = "".join(decoder.push(number) for number in ids) + decoder.flush()
    assert text == data.decode("utf-8", "replace")


@pytest.mark.parametrize("kind", KINDS)
def test_what_its_special_tokens_are_for(kind: str) -> None:
    tokenizer, roles = OURS[kind], ROLES[kind]
    assert tokenizer.tokens[tokenizer.eos_id] == roles["eos"][0] and not tokenizer.is_ours
    assert {tokenizer.tokens[number] for number in tokenizer.end_ids} == {*roles["eos"], *filter(None, [roles["bos"]])}
    assert [tokenizer.tokens[number] for number in tokenizer.start_ids] == ([roles["bos"]] if roles["begins"] else [])
    assert tokenizer.split == {"gpt2": "gpt-2", "qwen": "qwen2", "llama3": "llama-bpe"}[kind]


def test_a_plain_added_token_is_text() -> None:
    tokenizer = OURS["qwen"]
    (number,) = tokenizer.encode("<think>")
    assert tokenizer.token_bytes(number) == b"<think>" and "<think>" not in tokenizer.special_ids


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_stands_on_its_own(kind: str, tmp_path: Path) -> None:
    """What was found out about it is inside; `tokenizers` reads it and begins texts as the original does."""
    from tokenizers import Tokenizer as Backend

    path = tmp_path / "tokenizer.json"
    path.write_text(OURS[kind].to_json())
    again = Tokenizer.load(path)
    assert again.fingerprint == OURS[kind].fingerprint and again.end_ids == OURS[kind].end_ids
    original, written = Backend.from_str(json.dumps(RAW[kind])), Backend.from_file(str(path))
    assert written.encode("a b").ids == original.encode("a b").ids
    assert written.encode("a", "b").ids == original.encode("a", "b").ids


def test_fingerprints_tell_apart_what_differs() -> None:
    roles = {**ROLES["qwen"], "eos": ["<|endoftext|>"]}
    others = [*OURS.values(), Tokenizer(with_roles(RAW["qwen"], **roles))]
    assert len({tokenizer.fingerprint for tokenizer in others}) == len(others)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_agree_or_decline(kind: str, name: str) -> None:
    """tiktoken and gigatoken take these vocabularies only if they give the same ids."""
    reference = build_encoder("tokenizers", OURS[kind])
    try:
        encoder = build_encoder(name, OURS[kind])
    except UsageError as reason:
        assert name != "tokenizers" and "encoder" in str(reason)
        return
    for text in TRICKY:
        assert encoder.encode(text).tolist() == reference.encode(text).tolist()


def _changed(**changes: Any) -> dict[str, Any]:
    definition = with_roles(RAW["qwen"], **ROLES["qwen"])
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(definition[key], dict):
            value = {**definition[key], **value}
        definition[key] = value
    return definition


_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (_changed(model={"byte_fallback": True}), "BPE with byte fallback"),
        (_changed(model={"type": "WordPiece"}), "type WordPiece; only byte-level BPE returns every byte"),
        (_changed(model={"end_of_word_suffix": "</w>"}), "marks parts of words"),
        (
            _changed(model={"vocab": {**RAW["qwen"]["model"]["vocab"], "▁the": 900}}),
            "token '▁the' is not spelled in bytes",
        ),
        (_changed(model={"vocab": {"a": 0}}), "has no token"),
        (_changed(model={"vocab": {**RAW["qwen"]["model"]["vocab"], "ab": 0}}), "two of its tokens share an id"),
        (_changed(normalizer={"type": "Lowercase"}), "changes text before it is encoded"),
        (_changed(pre_tokenizer={"type": "Whitespace"}), "cuts text in a way that changes it"),
        (_changed(pre_tokenizer=None), "cuts text in a way that changes it"),
        (_changed(pre_tokenizer={"pretokenizers": [{**_BYTE_LEVEL, "add_prefix_space": True}]}), "changes it"),
        (_changed(pre_tokenizer={"pretokenizers": 3}), "changes it"),
        (_changed(pre_tokenizer="none"), "changes it"),
        (_changed(pre_tokenizer={"pretokenizers": [{"type": "Digits"}]}), "no pre_tokenizer ByteLevel"),
        (_changed(added_tokens=[{**token, "lstrip": True} for token in RAW["qwen"]["added_tokens"]]), "white space"),
        (_changed(added_tokens=[{"content": "x"}]), "not a tokenizer.json of a BPE model"),
    ],
)
def test_what_would_lose_bytes_is_one_line(definition: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        Tokenizer(definition, origin="their.json")
    assert str(caught.value).startswith("their.json: ") and "\n" not in str(caught.value)


def test_a_file_without_roles_says_where_they_come_from(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(RAW["qwen"]))
    with pytest.raises(UsageError, match="`nanochat import` the model it belongs to"):
        Tokenizer.load(path)
