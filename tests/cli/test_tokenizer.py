"""`nanochat tokenizer`: training alone, and comparing with what others made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from nanochat_framework.cli import main
from nanochat_framework.data import reference_tokenizers
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.data.tokenizer_evaluation import lost_bytes
from nanochat_framework.data.tokenizer_samples import SAMPLES


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    for name, text in SAMPLES.items():
        (folder / f"{name}.txt").write_text(text)
    output = folder / "out" / "tokenizer.json"
    command = ["tokenizer", "train", "--text", str(folder), "--vocab-size", "700", "--output", str(output)]
    assert main(command) == 0
    return output


def _rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    capsys.readouterr()
    assert main(["tokenizer", "eval", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["round_trip"] is True
    rows: list[dict] = found["tokenizers"]
    return rows


def test_prepare_takes_what_train_wrote(tokenizer: Path, tmp_path: Path) -> None:
    assert Tokenizer.load(tokenizer).vocab_size == 700
    command = ["prepare-data", "--text", str(tokenizer.parent.parent), "--tokenizer", str(tokenizer)]
    assert main([*command, "--output", str(tmp_path)]) == 0
    assert (tmp_path / "tokenizer.json").read_bytes() == tokenizer.read_bytes()


def test_bytes_per_token(tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("def count_words(path):\n    return path\n")
    (row,) = _rows(capsys, str(tokenizer), "--text", str(tmp_path / "mine.txt"))
    assert list(row["bytes_per_token"]) == [*SAMPLES, str(tmp_path / "mine.txt")]
    own = Tokenizer.load(tokenizer)
    for name, text in SAMPLES.items():
        assert row["bytes_per_token"][name] == pytest.approx(len(text.encode()) / len(own.encode(text)))
    assert row["round_trip"] is True


def test_the_same_vocabulary_as_gguf_and_as_foreign_json(
    tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import gguf
    from tokenizers import Tokenizer as Backend

    own = Tokenizer.load(tokenizer)
    writer = gguf.GGUFWriter(tmp_path / "vocabulary.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(own.tokens)
    writer.add_token_merges([" ".join(pair) for pair in own.merges])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    Backend.from_file(str(tokenizer)).save(str(tmp_path / "foreign.json"))
    against = ["--against", str(tmp_path / "vocabulary.gguf"), str(tmp_path / "foreign.json")]
    first, *others = _rows(capsys, str(tokenizer), *against)
    assert len(others) == 2
    for row in others:
        assert row["bytes_per_token"] == first["bytes_per_token"]
        assert row["round_trip"] is True
    assert main(["tokenizer", "eval", str(tokenizer), *against]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["bytes", "per", "token", "vocabulary"]
    assert len(lines) == 4


def test_tiktoken_is_compared_only_from_its_cache(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import tiktoken

    asked = []

    class _Encoding:
        n_vocab = 256

        def encode_ordinary(self, text: str) -> list[int]:
            return list(text.encode())

        def decode(self, ids: list[int]) -> str:
            return bytes(ids).decode()

    def get(name: str) -> _Encoding:
        asked.append(name)
        return _Encoding()

    monkeypatch.setattr(tiktoken, "get_encoding", get)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert len(_rows(capsys, str(tokenizer))) == 1
    assert asked == []
    (address,) = reference_tokenizers._TIKTOKEN_FILES["cl100k_base"]
    (tmp_path / hashlib.sha1(address.encode()).hexdigest()).touch()
    _, row = _rows(capsys, str(tokenizer))
    assert asked == ["cl100k_base"]
    assert (row["name"], row["overall"], row["round_trip"]) == ("tiktoken cl100k_base", 1.0, True)


def test_a_tokenizer_that_loses_bytes_is_found_out(
    tokenizer: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Tokenizer.load(tokenizer)
    assert lost_bytes(own, SAMPLES) is None
    real = Tokenizer.decode_bytes
    monkeypatch.setattr(Tokenizer, "decode_bytes", lambda self, ids: real(self, ids).replace(b"\xff", b"?"))
    assert main(["tokenizer", "eval", str(tokenizer)]) == 1
    assert "round trip FAILED" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "nowhere.json"], "nowhere.json: no such file"),
        (["eval", "{tokenizer}", "--against", "nowhere.gguf"], "nowhere.gguf: no such file"),
        (["eval", "{tokenizer}", "--against", "{here}/bad.gguf"], "bad.gguf: not a GGUF file"),
        (["eval", "{tokenizer}", "--against", "{here}/bad.json"], "bad.json: not a tokenizer.json"),
        (["eval", "{tokenizer}", "--text", "nowhere.txt"], "nowhere.txt: No such file"),
        (["train", "--output", "{here}/t.json"], "name what to prepare"),
        (["train", "--source", "python_stdlib", "--vocab-size", "5", "--output", "{here}/t.json"], "below 289"),
        (["train", "--text", "nowhere.txt", "--vocab-size", "1048577", "--output", "{here}/t.json"], "above 1048576"),
    ],
)
def test_mistakes_are_one_line(
    tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"nonsense" * 10)
    (tmp_path / "bad.json").write_text("{}")
    filled = [argument.format(tokenizer=tokenizer, here=tmp_path) for argument in arguments]
    assert main(["tokenizer", *filled]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert message in errors[0]
