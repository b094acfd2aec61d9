"""Prepared tokens against the model that wants them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nanochat_framework.cli import main
from nanochat_framework.errors import UsageError
from nanochat_sources.config import TokensConfig
from nanochat_sources.tokens import PreparedTokens


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "book.txt").write_text("def f(x):\n    return x + 1\n\n" * 100)
    command = ["prepare-data", "--text", str(tmp_path / "book.txt"), "--vocab-size", "300", "--output"]
    assert main([*command, str(tmp_path / "data")]) == 0
    return tmp_path / "data"


def _open(path: Path, vocab_size: int = 300, held_out: Path | None = None) -> PreparedTokens:
    config = TokensConfig(path=str(path), validation_path=str(held_out) if held_out else None)
    return PreparedTokens(config, vocab_size=vocab_size)


def test_both_sides_and_the_tokenizer(data: Path) -> None:
    source = _open(data / "tokens.bin")
    validation = source.validation()
    assert validation is not None
    assert source.tokenizer is not None
    assert source.tokenizer_path == data / "tokenizer.json"
    text = source.tokenizer.decode_bytes(source.train()) + source.tokenizer.decode_bytes(validation)
    assert text == (data.parent / "book.txt").read_bytes()


def test_a_model_may_have_spare_rows_but_not_too_few(data: Path) -> None:
    assert _open(data / "tokens.bin", 512).tokenizer is not None
    with pytest.raises(UsageError, match=r"has 300 tokens, the model rows for 290; set model.vocab_size to 300"):
        _open(data / "tokens.bin", 290)


def test_without_held_out_tokens(data: Path) -> None:
    (data / "val.bin").unlink()
    assert _open(data / "tokens.bin").validation() is None
    with pytest.raises(UsageError, match="no such token file"):
        _open(data / "tokens.bin", held_out=data / "val.bin")


def test_bare_tokens_beside_a_foreign_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.arange(100, dtype="<u4").tofile(tmp_path / "tokens.bin")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}, "merges": []}}))
    source = _open(tmp_path / "tokens.bin")
    assert source.tokenizer is source.tokenizer_path is None
    assert source.train().tolist() == list(range(100))
    assert "going on without it" in capsys.readouterr().err


def test_prepared_tokens_beside_a_damaged_tokenizer(data: Path) -> None:
    (data / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match="not a tokenizer.json"):
        _open(data / "tokens.bin")
