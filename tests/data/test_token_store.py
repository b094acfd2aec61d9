"""Token files that are damaged, foreign or unfinished are refused with one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nanochat_framework.cli import main
from nanochat_framework.data import token_store
from nanochat_framework.data.token_store import TokenStore, read_data_json
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.txt").write_text(f"# {name}\n" + "def f(x):\n    return x + 1\n" * 30)
    texts = [str(tmp_path / f"{name}.txt") for name in ("one", "two", "three")]
    output = tmp_path / "data"
    assert main(["prepare-data", "--text", *texts, "--vocab-size", "300", "--output", str(output)]) == 0
    return output


def _edit(path: Path, change: Callable[[dict], object]) -> None:
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "tokens.bin").unlink(), "no such token file"),
        (
            lambda d: (d / "tokens.bin").write_bytes((d / "tokens.bin").read_bytes()[:-3]),
            "not a whole number of 4-byte",
        ),
        (lambda d: (d / "tokens.bin").write_bytes((d / "tokens.bin").read_bytes()[:-8]), "cut off or altered"),
        (lambda d: (d / "tokens.bin").write_bytes((d / "tokens.bin").read_bytes()[:-4] + b"\0\0\0\1"), "checksum"),
        (lambda d: (d / "tokens.bin").write_bytes(b""), "not a whole number"),
        (lambda d: (d / "tokens.starts.bin").unlink(), "is not the document starts"),
        (lambda d: (d / "tokens.starts.bin").write_bytes(b"12345678" * 9), "is not the document starts"),
        (lambda d: (d / "tokens.starts.bin").write_bytes(b"\0" * 16), "is not the document starts"),
        (lambda d: (d / "tokens.scores.bin").write_bytes(b"1234" * 3), "3 scores for 2 documents"),
        (lambda d: (d / "data.json").write_text("{"), "cannot be read"),
        (lambda d: (d / "data.json").write_text("[]"), "not a data.json of schema 1"),
        (lambda d: _edit(d / "data.json", lambda f: f.update(schema_version=99)), "not a data.json of schema 1"),
        (lambda d: _edit(d / "data.json", lambda f: f.pop("files")), "damaged"),
        (lambda d: _edit(d / "data.json", lambda f: f["files"]["tokens.bin"].pop("sha256")), "damaged"),
        (lambda d: _edit(d / "data.json", lambda f: f["files"]["tokens.bin"].update(tokens="9")), "damaged"),
        (lambda d: ((d / "data.json").unlink(), (d / ".prepare").mkdir()), "was stopped, or is going on"),
    ],
)
def test_damage_is_refused(data: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(data)
    with pytest.raises(UsageError, match=message) as error:
        TokenStore.open(data / "tokens.bin", vocab_size=320)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_token_file(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        TokenStore.open(data)
    assert str(error.value) == f"{data}: is a folder; did you mean {data / 'tokens.bin'}?"
    with pytest.raises(
        UsageError, match=rf"is a folder, and has no tokens.bin; `nanochat prepare-data --output {tmp_path}` "
    ):
        TokenStore.open(tmp_path)


def test_large_files_are_checked_whole_on_request(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_store, "FULL_CHECK_BYTES", 0)
    content = (data / "tokens.bin").read_bytes()
    (data / "tokens.bin").write_bytes(content[:-4] + b"\0\0\0\0")
    assert len(TokenStore.open(data / "tokens.bin", vocab_size=300)) == len(content) // 4
    with pytest.raises(UsageError, match="checksum"):
        TokenStore.open(data / "tokens.bin", vocab_size=300, verify=True)


def test_another_vocabulary_is_refused(data: Path) -> None:
    other = Tokenizer.train(["something else entirely " * 30], 310)
    with pytest.raises(UsageError, match="another tokenizer"):
        TokenStore.open(data / "tokens.bin", tokenizer=other)
    with pytest.raises(UsageError, match="vocabulary ends at 99"):
        TokenStore.open(data / "tokens.bin", vocab_size=100)


def test_a_bare_file_is_taken_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokens.bin"
    np.arange(100, dtype="<u4").tofile(path)
    store = TokenStore.open(path, vocab_size=100)
    assert len(store) == 100
    assert store.starts is None
    assert "bare tokens" in capsys.readouterr().err
    assert read_data_json(tmp_path) is None
