"""Text to token files: exact, split by group, refused when damaged, whole or not there."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.cli import main
from nanochat_framework.data.split import held_out_groups
from nanochat_framework.data.token_store import TokenStore
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text with space")
    for package in "abcdefgh":
        (folder / package).mkdir()
        for number in range(3):
            text = f"# {package} {number}\n" + "".join(f"def f{i}(x):\n\treturn x + {i}\r\n" for i in range(40))
            (folder / package / f"m{number}.py").write_bytes(text.encode())
    (folder / "a" / "odd.bin").write_bytes(bytes(range(256)) * 3)
    (folder / ".hidden").write_text("not read")
    return folder


@pytest.fixture(scope="module")
def data(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("data")
    assert main(["prepare-data", "--text", str(text_folder), "--vocab-size", "320", "--output", str(output)]) == 0
    return output


def test_every_byte_is_in_the_token_files(text_folder: Path, data: Path) -> None:
    tokenizer = Tokenizer.load(data / "tokenizer.json")
    found = []
    for name in ("tokens.bin", "val.bin"):
        store = TokenStore.open(data / name, tokenizer=tokenizer, vocab_size=tokenizer.vocab_size)
        starts = [*map(int, store.starts if store.starts is not None else []), len(store)]
        for begin, end in itertools.pairwise(starts):
            document = np.asarray(store.tokens[begin:end])
            assert (document[0], document[-1]) == (tokenizer.bos_id, tokenizer.eos_id)
            found.append(tokenizer.decode_bytes(document))
    expected = [file.read_bytes() for file in text_folder.rglob("*") if file.is_file() and file.name != ".hidden"]
    assert sorted(found) == sorted(expected)


def test_groups_are_on_one_side(data: Path) -> None:
    facts = json.loads((data / "data.json").read_text())
    assert facts["files"]["val.bin"]["documents"] in (3, 4), "one whole package"
    assert facts["files"]["tokens.bin"]["documents"] + facts["files"]["val.bin"]["documents"] == 25
    assert not list(data.glob(".tmp-*"))


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


def test_one_document_gives_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "book.txt"
    file.write_text("\n\n".join(f"Paragraph {i} of the only book." for i in range(300)))
    output = tmp_path / "out"
    assert main(["prepare-data", "--text", str(file), "--vocab-size", "300", "--output", str(output)]) == 0
    assert "end of the last document is held out" in capsys.readouterr().err
    tokenizer = Tokenizer.load(output / "tokenizer.json")
    both = [tokenizer.decode_bytes(np.fromfile(output / name, "<u4")) for name in ("tokens.bin", "val.bin")]
    assert b"".join(both) == file.read_bytes()
    assert 0.01 < len(both[1]) / file.stat().st_size < 0.12
    assert both[1].startswith(b"Paragraph")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "no such token file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "not a whole number of 4-byte tokens"),
        (lambda path: path.write_bytes(path.read_bytes()[:-8]), "cut off or altered"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1"), "checksum"),
        (lambda path: path.write_bytes(b""), "not a whole number"),
    ],
)
def test_damaged_token_files_are_refused(data: Path, tmp_path: Path, damage, message: str) -> None:
    for file in data.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damage(tmp_path / "tokens.bin")
    with pytest.raises(UsageError, match=message) as error:
        TokenStore.open(tmp_path / "tokens.bin", vocab_size=320)
    assert "\n" not in str(error.value)


def test_tokens_of_another_vocabulary_are_refused(data: Path) -> None:
    other = Tokenizer.train(["something else entirely " * 30], 310)
    with pytest.raises(UsageError, match="another tokenizer"):
        TokenStore.open(data / "tokens.bin", tokenizer=other)
    with pytest.raises(UsageError, match="vocabulary ends at 99"):
        TokenStore.open(data / "tokens.bin", vocab_size=100)


def test_a_bare_file_is_taken_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokens.bin"
    np.arange(100, dtype="<u4").tofile(path)
    assert len(TokenStore.open(path, vocab_size=100)) == 100
    assert "bare tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "nowhere.txt"], "nowhere.txt"),
        (["--text", "{empty}"], "no files"),
        (["--source", "python_stdlb"], "did you mean 'python_stdlib'"),
        (["--source", "synthetic"], "no documents to prepare"),
        (["--source", "python_stdlib", "--vocab-size", "200"], "below 289"),
        (["--source", "python_stdlib", "--validation-fraction", "2"], "between 0 and 0.5"),
    ],
)
def test_bad_requests_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    filled = [argument.format(empty=tmp_path / "empty") for argument in arguments]
    assert main(["prepare-data", *filled, "--output", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert message in errors[0]


def test_a_killed_preparation_is_not_mistaken_for_a_whole_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nanochat_framework", "prepare-data", "--source", "python_stdlib"]
    process = subprocess.Popen([*command, "--vocab-size", "1000", "--output", str(tmp_path)], start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".tmp-*tokens.bin")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "data.json").exists()
    assert not (tmp_path / "tokens.bin").exists()
