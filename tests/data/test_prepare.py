"""Text to token files: exact, split by group, refused when damaged, whole or not there."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from nanochat_framework.cli import main
from nanochat_framework.data.token_store import TokenStore
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError

FILES = ["data.json", "tokenizer.json", "tokens.bin", "tokens.starts.bin", "val.bin", "val.starts.bin"]


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
    assert sorted(path.name for path in data.iterdir()) == sorted(FILES)


def test_one_document_gives_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "book.txt"
    file.write_text("\n\n".join(f"Paragraph {i} of the only book." for i in range(300)))
    output = tmp_path / "out"
    assert main(["prepare-data", "--text", str(file), "--vocab-size", "300", "--output", str(output)]) == 0
    assert "its end is held out" in capsys.readouterr().err
    tokenizer = Tokenizer.load(output / "tokenizer.json")
    both = [tokenizer.decode_bytes(np.fromfile(output / name, "<u4")) for name in ("tokens.bin", "val.bin")]
    assert b"".join(both) == file.read_bytes()
    assert 0.01 < len(both[1]) / file.stat().st_size < 0.12
    assert both[1].startswith(b"Paragraph")


def test_a_vocabulary_too_large_is_refused_before_a_text_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(["prepare-data", "--text", "nowhere", "--vocab-size", "1048577", "--output", str(output)]) == 2
    assert capsys.readouterr().err == "error: --vocab-size 1048577 is above 1048576, which is beyond all use\n"
    assert not output.exists(), "what was begun there would be dropped"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "nowhere.txt"], "nowhere.txt"),
        (["--text", "{empty}"], "no files"),
        (["--text", "{tiny}"], "no text"),
        (["--source", "python_stdlb"], "did you mean 'python_stdlib'"),
        (["--source", "synthetic"], "no documents to prepare"),
        (["--source", "python_stdlib", "--vocab-size", "200"], "below 289"),
        (["--source", "python_stdlib", "--validation-fraction", "2"], "between 0 and 0.5"),
        (["--source", "python_stdlib", "--tokenizer-bytes", "10"], "below 1000000"),
        (["--source", "python_stdlib", "--threads", "9" * 20], "--threads must be at least 0 and at most 4096"),
    ],
)
def test_bad_requests_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "tiny").write_text("")
    filled = [argument.format(empty=tmp_path / "empty", tiny=tmp_path / "tiny") for argument in arguments]
    assert main(["prepare-data", *filled, "--output", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert message in errors[0]


def test_a_large_corpus_trains_the_tokenizer_on_a_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare-data", "--source", "python_stdlib", "--vocab-size", "600", "--tokenizer-bytes", "1000000"]
    for name in ("one", "two"):
        assert main([*command, "--output", str(tmp_path / name)]) == 0
    errors = capsys.readouterr().err
    assert "trained on a sample of 1 of" in errors
    assert "encoder: " in errors
    facts = json.loads((tmp_path / "one" / "data.json").read_text())
    assert 900_000 < facts["tokenizer_trained_on_bytes"] < 1_100_000
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_an_encoder_by_name(text_folder: Path, data: Path, tmp_path: Path) -> None:
    command = ["prepare-data", "--text", str(text_folder), "--vocab-size", "320", "--output", str(tmp_path)]
    assert main([*command, "--encoder", "nonsense"]) == 2
    assert not any(tmp_path.iterdir()), "known before anything is begun"
    assert main([*command, "--encoder", "tokenizers"]) == 0
    assert (tmp_path / "tokens.bin").read_bytes() == (data / "tokens.bin").read_bytes()


def test_rows_with_scores_lie_beside_their_starts(tmp_path: Path) -> None:
    rows = [{"text": f"row {number} " * 9, "difficulty": number / 8} for number in range(40)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["prepare-data", "--text", str(file), "--vocab-size", "300", "--validation-fraction", "0.2"]
    assert main([*command, "--score-field", "difficulty", "--output", str(tmp_path / "data")]) == 0
    tokenizer = Tokenizer.load(tmp_path / "data" / "tokenizer.json")
    found = []
    for name in ("tokens.bin", "val.bin"):
        store = TokenStore.open(tmp_path / "data" / name)
        assert store.starts is not None
        assert store.scores is not None
        assert store.facts is not None and store.facts["scores"] is True
        for begin, end, score in zip(store.starts, [*store.starts[1:], len(store)], store.scores, strict=True):
            found.append({"text": tokenizer.decode(store.tokens[int(begin) : int(end)]), "difficulty": score})
    assert sorted(found, key=lambda row: row["difficulty"]) == rows
    (tmp_path / "data" / "tokens.scores.bin").unlink()
    with pytest.raises(UsageError, match="says that there are scores"):
        TokenStore.open(tmp_path / "data" / "tokens.bin")


def test_options_that_a_source_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--source", "python_stdlib", "--score-field", "x"], "--score-field is not for --source python_stdlib"),
        (["--source", "python_stdlib", "--text", "x"], "--text is not for --source python_stdlib"),
        (["--source", "jsonl"], "--source jsonl needs --text"),
        ([], "name what to prepare"),
    ):
        assert main(["prepare-data", *arguments, "--output", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err


def test_one_byte_of_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.txt").write_text("x")
    command = [
        "prepare-data",
        "--text",
        str(tmp_path / "x.txt"),
        "--vocab-size",
        "289",
        "--output",
        str(tmp_path / "o"),
    ]
    assert main(command) == 2
    assert "too little text to hold some of it out" in capsys.readouterr().err
    assert main([*command, "--validation-fraction", "0"]) == 0
    assert len(TokenStore.open(tmp_path / "o" / "tokens.bin")) == 3
