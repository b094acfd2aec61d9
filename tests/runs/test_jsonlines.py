from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanochat_framework.runs.jsonlines import (
    JsonLinesWriter,
    TailReader,
    decode,
    encode,
    heal,
    last,
    number,
    read,
)

VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
RECORDS = st.dictionaries(st.text(), VALUES | st.lists(VALUES) | st.dictionaries(st.text(), VALUES))
LINES = st.lists(RECORDS, max_size=5)
in_a_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def append(path: Path, *records: dict[str, Any]) -> None:
    writer = JsonLinesWriter(path)
    for record in records:
        writer.write(record)
    writer.close()


@given(st.floats())
def test_a_float_comes_back_with_every_bit(value: float) -> None:
    record = decode(encode({"x": value}))
    assert record is not None
    back = number(record["x"])
    assert math.isnan(back) if math.isnan(value) else struct.pack("d", back) == struct.pack("d", value)


@given(RECORDS)
def test_a_line_is_one_line_of_strict_json(record: dict[str, Any]) -> None:
    line = encode(record)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    line.decode("ascii")
    decoded = decode(line)
    assert decoded is not None
    assert encode(decoded) == line
    assert "NaN" not in json.dumps(json.loads(line)).replace('"NaN"', "")


def test_numbers_that_json_lacks_are_strings_at_any_depth() -> None:
    assert encode({"a": math.nan, "b": [math.inf, {"c": -math.inf}]}) == (
        b'{"a":"NaN","b":["Infinity",{"c":"-Infinity"}]}\n'
    )


@pytest.mark.parametrize(
    "line", [b'{"a":1}', b'{"a":1\n', b"[1]\n", b"1\n", b"\n", b"\0\0\0\n", b'{"a":NaN}\n', b"\xff\n", b"[" * 10**5]
)
def test_what_is_no_record(line: bytes) -> None:
    assert decode(line) is None
    assert decode(line + b"\n") is None or line == b'{"a":1}'


@in_a_folder
@given(LINES, st.data())
def test_a_file_cut_anywhere_heals_to_the_records_before_the_cut(path: Path, records: Any, data: st.DataObject) -> None:
    lines = [encode(record) for record in records]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept: list[bytes] = []
    while len(kept) < len(lines) and len(b"".join(kept)) + len(lines[len(kept)]) <= cut:
        kept.append(lines[len(kept)])
    assert [encode(record) for record in read(path)] == kept
    assert last(path) == (decode(kept[-1]) if kept else None)
    assert heal(path) == cut - len(b"".join(kept))
    assert path.read_bytes() == b"".join(kept)
    assert heal(path) == 0
    append(path, {"next": 1})
    assert [encode(record) for record in read(path)] == [*kept, encode({"next": 1})]


@in_a_folder
@given(LINES, st.binary(max_size=200))
def test_heal_never_cuts_into_a_record_whatever_follows_it(path: Path, records: Any, rubbish: bytes) -> None:
    whole = b"".join(encode(record) for record in records)
    path.write_bytes(whole + rubbish)
    before = list(read(path))
    heal(path)
    assert path.read_bytes().startswith(whole)
    assert list(read(path)) == before
    assert read(path).torn_bytes == 0


def test_heal_of_a_file_that_is_not_there_or_empty(path: Path) -> None:
    assert heal(path) == 0
    assert not path.exists()
    path.touch()
    assert heal(path) == 0
    assert last(path) is None


def test_heal_finds_the_start_of_a_line_longer_than_its_chunks(path: Path) -> None:
    long = {"text": "x" * 200_000}
    append(path, {"a": 1}, long)
    with path.open("ab") as file:
        file.write(b'{"torn": "' + b"y" * 150_000)
    assert last(path) == long
    assert heal(path) == 150_010
    assert list(read(path)) == [{"a": 1}, long]


def test_corrupt_lines_in_the_middle_are_counted_and_passed_over(path: Path) -> None:
    path.write_bytes(b'{"a":1}\n{"a":\n\nnonsense\n\0\0\n{"a":2}\n{"a":3')
    reader = read(path)
    assert [record["a"] for record in reader] == [1, 2]
    assert (reader.corrupt, reader.torn_bytes) == (3, 6)
    assert [record["a"] for record in reader] == [1, 2]  # counts begin again
    assert reader.corrupt == 3


def test_a_missing_file_has_no_records(path: Path) -> None:
    assert list(read(path)) == []


def test_a_writer_does_not_join_its_record_to_a_torn_line(path: Path) -> None:
    path.write_bytes(b'{"a":1}\n{"a":2,"b')
    append(path, {"a": 3})
    append(path, {"a": 4})
    reader = read(path)
    assert [record["a"] for record in reader] == [1, 3, 4]
    assert reader.corrupt == 1


def test_two_writers_of_one_file_do_not_mix_their_lines(path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from nanochat_framework.runs.jsonlines import JsonLinesWriter
writer = JsonLinesWriter(Path({str(path)!r}))
for i in range(500):
    writer.write({{"who": sys.argv[1], "i": i, "padding": "x" * (i * 7 % 300)}})
"""
    processes = [subprocess.Popen([sys.executable, "-c", script, who]) for who in "ab"]
    assert [process.wait() for process in processes] == [0, 0]
    reader = read(path)
    records = list(reader)
    assert reader.corrupt == 0
    for who in "ab":
        assert [record["i"] for record in records if record["who"] == who] == list(range(500))


def test_a_full_disk_is_one_line_and_the_file_stays_readable(path: Path) -> None:
    script = f"""
import resource
from pathlib import Path
from nanochat_framework.runs.atomic import DiskFull
from nanochat_framework.runs.jsonlines import JsonLinesWriter, read
writer = JsonLinesWriter(Path({str(path)!r}))
writer.write({{"a": 1}})
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        writer.write({{"text": "x" * 200}})
    except DiskFull as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.write({{"a": 2}})
"""
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output == f"{path}: cannot be written: file too large\n" * 2
    reader = read(path)
    assert list(reader) == [{"a": 1}, {"a": 2}]
    assert reader.corrupt == 1


@in_a_folder
@given(st.lists(st.binary(max_size=30) | RECORDS.map(encode), max_size=12), st.integers(1, 64))
def test_following_a_growing_file_gives_what_reading_it_gives(path: Path, pieces: list[bytes], max_bytes: int) -> None:
    path.unlink(missing_ok=True)
    tail, followed = TailReader(path), []
    for piece in pieces:
        with path.open("ab") as file:
            file.write(piece)
        batch = tail.poll(max_bytes)
        assert not batch.restarted
        followed += batch.records
    while (batch := tail.poll(max_bytes)).records or batch.more:
        followed += batch.records
    reader = read(path)
    assert [encode(record) for record in followed] == [encode(record) for record in reader]
    assert tail.corrupt == reader.corrupt


def test_an_unfinished_line_is_delivered_once_it_is_whole(path: Path) -> None:
    tail = TailReader(path)
    assert tail.poll() == ([], False, False)
    path.write_bytes(b'{"a":1}\n{"a"')
    assert tail.poll().records == [{"a": 1}]
    assert tail.poll().records == []
    with path.open("ab") as file:
        file.write(b":2}\n")
    assert tail.poll().records == [{"a": 2}]


def test_a_healed_line_is_not_joined_with_what_replaced_it(path: Path) -> None:
    tail = TailReader(path)
    path.write_bytes(b'{"a":1}\n{"a":2,"lo')
    assert tail.poll().records == [{"a": 1}]
    heal(path)
    append(path, {"a": 3, "longer than what was torn": True})
    assert tail.poll() == ([{"a": 3, "longer than what was torn": True}], False, False)


def test_a_file_cut_or_replaced_is_read_from_its_beginning(path: Path) -> None:
    tail = TailReader(path)
    append(path, {"a": 1}, {"a": 2})
    assert len(tail.poll().records) == 2

    os.truncate(path, path.stat().st_size // 2)
    assert tail.poll() == ([{"a": 1}], True, False)

    path.write_bytes(b"")  # cut, and grown beyond the old place before the next look
    append(path, {"a": 7}, {"a": 8}, {"a": 9})
    assert tail.poll() == ([{"a": 7}, {"a": 8}, {"a": 9}], True, False)

    other = path.with_name("other")
    other.write_bytes(path.read_bytes())  # equal content, another file
    append(other, {"a": 10})
    os.replace(other, path)
    batch = tail.poll()
    assert batch.restarted
    assert [record["a"] for record in batch.records] == [7, 8, 9, 10]

    path.unlink()
    assert tail.poll() == ([], False, False)
    append(path, {"a": 11})
    assert tail.poll() == ([{"a": 11}], True, False)


def test_a_poll_is_bounded_and_says_that_there_is_more(path: Path) -> None:
    append(path, *({"i": i} for i in range(1000)))
    tail, polls, seen = TailReader(path), 0, []
    while True:
        batch = tail.poll(max_bytes=1000)
        polls += 1
        seen += [record["i"] for record in batch.records]
        if not batch.more:
            break
    assert seen == list(range(1000))
    assert polls > 5
