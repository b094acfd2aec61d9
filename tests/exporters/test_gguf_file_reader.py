"""Our reader: equal to the gguf package's on good files; one line, never a traceback, on bad ones."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanochat_exporters.gguf.contents import Contents, Value
from nanochat_exporters.gguf.file_reader import GgufFile, as_float32
from nanochat_exporters.gguf.file_writer import write_file
from nanochat_exporters.gguf.storage import StoredTensor
from nanochat_framework.errors import UsageError

KEYS: dict[str, Value] = {
    "general.name": "a model, ünïcode",
    "test.flag": True,
    "test.count": 7,
    "test.large": 2**40,
    "test.ratio": 0.1,
    "test.words": ["a", "", "Ġthe"],
    "test.numbers": [1, 2, 3],
}


def write(path: Path) -> Path:
    """A small file with every kind of key and four types of tensor."""
    rng = np.random.default_rng(0)
    tensors = [
        StoredTensor("f32", "F32", (3, 5), rng.standard_normal((3, 5)).astype(np.float32)),
        StoredTensor("f16", "F16", (7,), rng.standard_normal(7).astype(np.float16)),
        StoredTensor("tq2", "TQ2_0", (2, 256), rng.integers(0, 60, (2, 66)).astype(np.uint8)),
        StoredTensor("q6", "Q6_K", (1, 256), rng.integers(0, 60, (1, 210)).astype(np.uint8)),
    ]
    write_file(Contents("test", KEYS, tensors), path)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a good file."""
    return write(tmp_path_factory.mktemp("gguf") / "good.gguf").read_bytes()


def test_equals_the_gguf_package(tmp_path: Path) -> None:
    path = write(tmp_path / "x.gguf")
    theirs = gguf.GGUFReader(path)
    with GgufFile(path) as ours:
        assert list(ours.keys) == [key for key in theirs.fields if not key.startswith("GGUF.")]
        for key, value in ours.keys.items():
            assert theirs.fields[key].contents() == value
        assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
        for tensor in theirs.tensors:
            stored = ours.read(tensor.name)
            assert stored.type_name == tensor.tensor_type.name
            assert stored.shape == tuple(reversed(tensor.shape.tolist()))
            assert stored.data.tobytes() == tensor.data.tobytes()
            if tensor.name != "f16":
                expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
                np.testing.assert_array_equal(as_float32(stored), expected)


def test_writing_leaves_no_other_file_and_replaces_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"old")
    size = write_file(Contents("test", KEYS, []), path)
    assert path.stat().st_size == size and [entry.name for entry in tmp_path.iterdir()] == ["x.gguf"]


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        write_file(Contents("test", {}, []), tmp_path)
    with pytest.raises(UsageError, match="folder .* does not exist"):
        write_file(Contents("test", {}, []), tmp_path / "none" / "x.gguf")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "is empty"),
        (b"GG", "ends at byte 2"),
        (b"PK\x03\x04" + b"\0" * 60, "does not begin with GGUF"),
        (b"GGUF\x01\0\0\0" + b"\0" * 60, "version 1"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "larger than the file"),
        (
            b"GGUF\x03\0\0\0" + bytes(8) + b"\x01" + bytes(7) + b"\x01" + bytes(7) + b"k\x63\0\0\0" + bytes(8),
            "value type 99",
        ),
    ],
)
def test_what_is_no_gguf_file_says_so(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=f"bad.gguf.*{expected}"):
        GgufFile(path)


def test_missing_file_and_missing_tensor(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        GgufFile(tmp_path / "none.gguf")
    with GgufFile(write(tmp_path / "x.gguf")) as file, pytest.raises(UsageError, match="no tensor missing"):
        file.read("missing")


def read_all(path: Path) -> None:
    """Read everything there is."""
    with GgufFile(path) as file:
        for name in file.tensors:
            as_float32(file.read(name))


@given(data=st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_truncation_is_refused(tmp_path: Path, good: bytes, data: st.DataObject) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(good[: data.draw(st.integers(0, len(good) - 33))])  # the last 32 bytes may be padding
    with pytest.raises(UsageError, match=r"cut\.gguf"):
        read_all(path)


@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bits_never_end_in_a_traceback(tmp_path: Path, good: bytes, data: st.DataObject) -> None:
    path, damaged = tmp_path / "bits.gguf", bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
        damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    refusal = ""
    try:
        read_all(path)
    except UsageError as error:
        refusal = str(error)
    assert "\n" not in refusal
