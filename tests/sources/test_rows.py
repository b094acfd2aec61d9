"""JSON lines and Parquet: what comes out is what was written, and a bad row is one line that says where."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanochat_framework.errors import UsageError
from nanochat_sources.config import JsonlConfig, ParquetConfig, TextConfig
from nanochat_sources.jsonl import JsonlSource
from nanochat_sources.parquet import ParquetSource
from nanochat_sources.text import TextSource

TEXTS = st.lists(st.text(max_size=40), max_size=20)


def _lines(texts: list[str], *, ascii_only: bool = True) -> bytes:
    return b"".join(
        json.dumps({"text": text, "n": 1}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") + b"\n"
        for text in texts
    )


def _write(path: Path, data: bytes) -> None:
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zst":
        zstandard = pytest.importorskip("zstandard")
        half = len(data) // 2  # two frames, as appending makes them
        data = zstandard.compress(data[:half]) + zstandard.compress(data[half:])
    path.write_bytes(data)


def _contents(source: Any) -> list[bytes]:
    return [document.data for document in source.documents()]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, ending=st.sampled_from([".jsonl", ".jsonl.gz", ".jsonl.zst"]), ascii_only=st.booleans())
def test_json_lines_come_back(tmp_path: Path, texts: list[str], ending: str, ascii_only: bool) -> None:
    file = tmp_path / f"x{ending}"
    _write(file, _lines(texts, ascii_only=ascii_only))
    expected = [text.encode() for text in texts]
    assert _contents(JsonlSource(JsonlConfig(paths=(str(file),)))) == expected
    assert _contents(TextSource(TextConfig(paths=(str(file),)))) == expected


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS)
def test_parquet_comes_back(tmp_path: Path, texts: list[str]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = tmp_path / "x.parquet"
    table = pyarrow.table({"text": pyarrow.array(texts, pyarrow.string()), "other": list(range(len(texts)))})
    parquet.write_table(table, file, row_group_size=3)
    expected = [text.encode() for text in texts]
    assert _contents(ParquetSource(ParquetConfig(paths=(str(file),)))) == expected
    assert _contents(TextSource(TextConfig(paths=(str(file),)))) == expected


CONVERSATION = [{"role": "user", "content": "2 + 2?"}, {"role": "tool", "content": ""}, {"role": "x", "content": "4"}]


def test_messages_are_joined_by_blank_lines(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    row = {"messages": CONVERSATION, "hard": 0.5}
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "y.parquet")
    source = TextSource(TextConfig(paths=(str(tmp_path),), score_field="hard"))
    for document in source.documents():
        assert (document.data, document.score) == (b"2 + 2?\n\n4", 0.5)


def test_another_field(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text('{"body": "a"}\n\n{"body": "b"}\n')
    documents = list(JsonlSource(JsonlConfig(paths=(str(tmp_path / "x.log"),), field="body")).documents())
    assert [(document.name, document.group) for document in documents] == [
        (f"{tmp_path}/x.log:1", f"{tmp_path}/x.log:1"),
        (f"{tmp_path}/x.log:3", f"{tmp_path}/x.log:3"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "a"', r"x.jsonl:2: not a JSON object \(expecting .* at character 13\)"),
        (b"\xff{}", r"x.jsonl:2: not a JSON object \(not UTF-8\)"),
        (b"[" * 100_000, "nested too deeply"),
        (b'["text"]', "x.jsonl:2: is a list, not an object"),
        (b'{"body": "a"}', "has no field 'text' \\(it has: 'body'\\).*--field"),
        (b'{"text": null}', "its field 'text' is absent or null"),
        (b'{"text": 5}', "is a number, not a text"),
        (b'{"messages": [{"content": "a"}, {"role": "x"}]}', "message 2 of its field 'messages' has no text"),
        (b'{"text": "a"}', "its score 's' is absent or null, not a finite number"),
        (b'{"text": "a", "s": "1"}', "its score 's' is a text"),
        (b'{"text": "a", "s": true}', "its score 's' is true or false"),
        (b'{"text": "a", "s": NaN}', "its score 's' is nan"),
    ],
)
def test_malformed_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: bytes, message: str) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "good", "s": 1}\n' + line + b'\n{"text": "good", "s": 2}\n')
    settings = {"paths": (str(tmp_path),), "score_field": "s"}
    with pytest.raises(UsageError, match=message) as error:
        _contents(TextSource(TextConfig(**settings)))
    assert "\n" not in str(error.value)
    source = TextSource(TextConfig(**settings, skip_malformed=True))
    assert [_contents(source) for _ in range(2)] == [[b"good", b"good"]] * 2
    assert [document.score for document in source.documents()] == [1, 2]
    errors = capsys.readouterr().err
    assert errors.count("warning: 1 malformed row left out, the first is") == 1


@pytest.mark.parametrize("ending", [".jsonl.gz", ".jsonl.zst", ".parquet"])
@pytest.mark.parametrize("cut", [True, False])
def test_damaged_files_are_one_line(tmp_path: Path, ending: str, cut: bool) -> None:
    file = tmp_path / f"x{ending}"
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
        file.write_bytes(b"PAR1" + b"x" * 100)
    else:
        noise = [format(math.sin(number), ".17f") for number in range(2000)]
        _write(file, _lines(noise))
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) * 2 // 3] if cut else b"nonsense" * 50)
    with pytest.raises(UsageError, match=f"x{ending}: ") as error:
        _contents(TextSource(TextConfig(paths=(str(file),))))
    assert "\n" not in str(error.value)


def test_plain_text_has_no_fields(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(UsageError, match="plain text has no fields"):
        _contents(TextSource(TextConfig(paths=(str(tmp_path),), field="body")))
