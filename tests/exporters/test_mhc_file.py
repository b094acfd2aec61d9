"""`.mhc` files: golden bytes, round trips, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from nanochat_exporters.mhc_file import MhcFile, read_mhc
from nanochat_framework.cli import main
from nanochat_framework.errors import UsageError
from tests.conftest import tiny_dict


def _file(sublayers: int, streams: int, version: int = 1, seed: int = 0) -> MhcFile:
    random = np.random.default_rng(seed)
    shapes = [(sublayers, 1 if streams == 2 else 24), (sublayers, streams), (sublayers, streams)]
    return MhcFile(version, *(random.normal(size=shape).astype(np.float32) for shape in shapes))


def test_golden_bytes() -> None:
    """Twelve blocks of two streams: the header and size that the format's description gives."""
    data = _file(24, 2, version=2).to_bytes()
    assert data[:16] == bytes.fromhex("2143486d 02000000 18000000 02000000")
    assert len(data) == 880
    one = MhcFile(1, np.float32([[0.5]]), np.float32([[1, -1]]), np.float32([[2, -2]]))
    assert one.to_bytes()[16:] == np.array([0.5, 1, -1, 0, 0, 2, -2, 0, 0], dtype="<f4").tobytes()


@given(st.integers(1, 40), st.sampled_from([2, 4]), st.sampled_from([1, 2]), st.integers(0, 99))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, sublayers: int, streams: int, version: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("mhc") / "x.mhc"
    written = _file(sublayers, streams, version, seed)
    path.write_bytes(written.to_bytes())
    found = read_mhc(path)
    assert found.version == version
    for name in ("mixing", "read", "write"):
        assert np.array_equal(getattr(found, name), getattr(written, name))


def test_biases_are_added_to_their_logits(tmp_path: Path) -> None:
    path = tmp_path / "x.mhc"
    record = np.array([5, 0.1, 0.2, 0.5, 0.5, 0.3, 0.4, 1, 1], dtype="<f4").tobytes()
    path.write_bytes(bytes.fromhex("2143486d 01000000 01000000 02000000") + record)
    found = read_mhc(path)
    np.testing.assert_allclose(found.read, [[0.6, 0.7]], rtol=1e-6)
    np.testing.assert_allclose(found.write, [[1.3, 1.4]], rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an .mhc file"),
        (b"GGUF" + bytes(40), "not an .mhc file"),
        (bytes.fromhex("2143486d 03000000 01000000 02000000"), "version 3"),
        (bytes.fromhex("2143486d 01000000 01000000 03000000"), "3 streams"),
        (_file(3, 2).to_bytes()[:-1], "bytes, its header says"),
        (_file(3, 2).to_bytes()[:16] + b"\xff" * 108, "not finite"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.mhc"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_mhc(path)


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
    code = main(["export", "first", "--to", "mhc", "--output", str(tmp_path / "first.mhc"), *runs])
    if dynamic:
        assert code == 2
        assert "this model's depend on content" in capsys.readouterr().err
        return
    assert code == 0
    weights = load_file(tmp_path / "first/checkpoints/final/model.safetensors")
    found = read_mhc(tmp_path / "first.mhc")
    assert np.array_equal(found.write, weights["residual.write_weight"])
    assert np.array_equal(found.mixing, weights["residual.mixing_weight"])
