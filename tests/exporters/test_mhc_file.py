"""`.mhc` files: golden bytes, read again as their description says, and refusals."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from nanochat_exporters.mhc_file import mhc_bytes
from nanochat_framework.cli import main
from tests.conftest import tiny_dict


def _parsed(data: bytes) -> tuple[tuple[int, ...], list[list[np.ndarray]]]:
    """Header and records as the format's description has them: mixing, reading, its biases, writing, its biases."""
    header = struct.unpack_from("<4I", data)
    streams = header[3]
    widths = [{2: 1, 4: 24}[streams], streams, streams, streams, streams]
    numbers = iter(np.frombuffer(data, dtype="<f4", offset=16))
    records = [[np.float32([next(numbers) for _ in range(width)]) for width in widths] for _ in range(header[2])]
    assert next(numbers, None) is None, "there is more in the file"
    return header, records


def test_golden_bytes() -> None:
    """Twelve blocks of two streams: the header and size that the format's description gives."""
    data = mhc_bytes(2, *(np.zeros(shape, dtype=np.float32) for shape in [(24, 1), (24, 2), (24, 2)]))
    assert data[:16] == bytes.fromhex("2143486d 02000000 18000000 02000000")
    assert len(data) == 880
    one = mhc_bytes(1, np.float32([[0.5]]), np.float32([[1, -1]]), np.float32([[2, -2]]))
    assert one[16:] == np.array([0.5, 1, -1, 0, 0, 2, -2, 0, 0], dtype="<f4").tobytes()


@given(st.integers(1, 40), st.sampled_from([2, 4]), st.sampled_from([1, 2]), st.integers(0, 99))
def test_every_number_is_in_its_place(sublayers: int, streams: int, version: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    shapes = [(sublayers, 1 if streams == 2 else 24), (sublayers, streams), (sublayers, streams)]
    mixing, read, write = (random.normal(size=shape).astype(np.float32) for shape in shapes)
    header, records = _parsed(mhc_bytes(version, mixing, read, write))
    assert header == (0x6D484321, version, sublayers, streams)
    none = np.zeros(streams, dtype=np.float32)
    for index, record in enumerate(records):
        for found, expected in zip(record, (mixing[index], read[index], none, write[index], none), strict=True):
            assert np.array_equal(found, expected)


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_trained_model_leaves_as_gguf_and_mhc(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dynamic: bool
) -> None:
    config = tmp_path / "mhc.toml"
    config.write_text(tomli_w.dumps(tiny_dict(model__residual={"name": "mhc", "dynamic": dynamic})))
    runs = ["--runs-dir", str(tmp_path)]
    assert main(["train", str(config), "--run", "first", "--quiet", *runs]) == 0
    gguf = tmp_path / "first.gguf"
    assert main(["export", "first", "--to", "gguf", "--output", str(gguf), "--check", *runs]) == 0
    said = capsys.readouterr().out
    assert "architecture nanochat" in said
    assert "logits on random tokens: differ by at most 0.0e+00" in said
    both, beside = tmp_path / "both.gguf", tmp_path / "both.mhc"
    command = ["export", "--checkpoint", "first", "--gguf", str(both), "--mhc", str(beside), "--json", *runs]
    assert main(command) == (2 if dynamic else 0)
    told = capsys.readouterr()
    code = main(["export", "first", "--to", "mhc", "--output", str(tmp_path / "first.mhc"), *runs])
    if dynamic:
        assert code == 2 and not both.exists() and not beside.exists()
        assert "this model's depend on content" in capsys.readouterr().err
        return
    assert code == 0
    assert (both.read_bytes(), beside.read_bytes()) == (gguf.read_bytes(), (tmp_path / "first.mhc").read_bytes())
    assert json.loads(told.out)["mhc"]["bytes"] == beside.stat().st_size
    weights = load_file(tmp_path / "first/checkpoints/final/model.safetensors")
    _, records = _parsed((tmp_path / "first.mhc").read_bytes())
    for place, name in [(0, "mixing"), (1, "read"), (3, "write")]:
        assert np.array_equal([record[place] for record in records], weights[f"residual.{name}_weight"])
