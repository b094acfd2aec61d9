"""`nanochat export`, from the command line: both forms, the check, and every refusal in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from safetensors import safe_open

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from tests.conftest import tiny_dict
from tests.exporters.models import prepare_corpus
from tests.inference.checkpoints import make_run

MakeConfig = Callable[..., RunConfig]


@pytest.fixture
def run(tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`runs/first` in the working directory, with a final checkpoint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")
    return make_run(tmp_path / "runs" / "first", tiny_config(model__vocab_size=608))


def test_export_and_check(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "first", "--to", "gguf", "--output", "first.gguf", "--check"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("first.gguf\n  architecture llama: stock llama.cpp runs this file\n")
    assert "Q4_0: 14 tensors" in text and "4.5 bits each" in text and "whole file: " in text
    assert "codes: all of 14 tensors equal bit for bit" in text
    assert "scales: all of 14 tensors equal bit for bit" in text
    assert "float tensors: all of 6 tensors equal bit for bit" in text
    assert "differ by at most 0.0e+00 of their range" in text


def test_the_older_form_and_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = str(run / "checkpoints" / "final")
    assert main(["export", "--checkpoint", checkpoint, "--gguf", "a.gguf", "--check", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["bytes"] == Path("a.gguf").stat().st_size
    assert record["check"]["exact"] is True and record["check"]["logits"] == 0.0


def test_a_gguf_is_exported_again_bit_for_bit(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "first", "--to", "gguf", "--output", "a.gguf"]) == 0
    assert main(["export", "a.gguf", "--to", "gguf", "--output", "b.gguf"]) == 0
    assert Path("a.gguf").read_bytes() == Path("b.gguf").read_bytes()


def test_a_hybrid_of_experts_and_back(run: Path, tiny_config: MakeConfig, capsys: pytest.CaptureFixture[str]) -> None:
    """Joined and reordered tensors, read and written again, make the same file."""
    full = {"name": "gqa", "n_heads": 2, "n_kv_heads": 1, "head_dim": 32, "qk_norm": True, "output_gate": True}
    linear = {"name": "deltanet", "n_heads": 1, "n_value_heads": 3, "head_dim": 32}
    config = tiny_config(
        model__vocab_size=608,
        model__attention={"name": "hybrid", "pattern": ["linear", "full"], "full": full, "linear": linear},
        model__ffn={"name": "moe", "n_experts": 3, "hidden_dim": 64, "shared_hidden_dim": 32, "shared_gate": True},
    )
    make_run(run.parent / "hybrid", config)
    assert main(["export", "hybrid", "--to", "gguf", "--output", "a.gguf", "--check"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("a.gguf\n  architecture qwen35moe: stock llama.cpp runs this file\n")
    assert "codes: all of 34 tensors equal bit for bit" in text and "differ by at most 0.0e+00 of their range" in text
    assert main(["export", "a.gguf", "--to", "gguf", "--output", "b.gguf", "--option", "architecture=qwen35moe"]) == 0
    assert Path("a.gguf").read_bytes() == Path("b.gguf").read_bytes()
    capsys.readouterr()
    assert main(["export", "hybrid", "--to", "gguf", "--output", "c.gguf", "--option", "architecture=qwen3"]) == 2
    refusal = "architecture qwen3 cannot carry this model: blocks.0.attention is a delta net; qwen3 has softmax attention only"
    assert refusal in capsys.readouterr().err
    assert main(["export", "hybrid", "--to", "huggingface", "--output", "folder"]) == 2
    assert "cannot carry this model: blocks.0.attention is a delta net" in capsys.readouterr().err


def test_what_rounding_costs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes and bits per byte as trained, with each table rounded alone, and of the file, on a data folder."""
    prepare_corpus(Path("data"))
    command = ["export", "first", "--to", "gguf", "--output", "a.gguf"]
    capsys.readouterr()
    assert main([*command, "--check", "--json", "--data", "data", "--embedding-type", "q4_0"]) == 0
    trained, written = json.loads(capsys.readouterr().out)["check"]["costs"]
    assert trained["form"] == "as trained" and written["form"] == "this file"
    assert written["n_bytes"] == Path("a.gguf").stat().st_size
    assert trained["n_bytes"] - written["n_bytes"] == 608 * 64 * 4 - 608 * 64 * 18 // 32
    assert main(["eval", "first", "--data", "data", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)["bpb"]["eval/bits_per_byte"]["value"]
    assert trained["bits_per_byte"] == pytest.approx(known, rel=1e-6)
    assert main(["eval", "a.gguf", "--data", "data", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)["bpb"]["eval/bits_per_byte"]["value"]
    assert written["bits_per_byte"] == pytest.approx(known, rel=1e-6) != trained["bits_per_byte"]
    assert main([*command, "--check", "--data", "data"]) == 0
    assert capsys.readouterr().out.count("(+0.0000)") == 2


def test_no_held_out_text_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", "first", "--to", "gguf", "--output", "a.gguf"]
    assert main([*command, "--check"]) == 0
    written = capsys.readouterr()
    assert "bits per byte are not measured: no held-out text is known" in written.err and "held-out" not in written.out
    assert main([*command, "--data", "data"]) == 2
    assert "--data is for --check" in capsys.readouterr().err
    assert main([*command, "--check", "--data", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_options_reach_the_exporter(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", "first", "--to", "gguf", "--output", "a.gguf", "--check"]
    assert main([*command, "--embedding-type", "f16", "--option", 'model_name="My model"']) == 0
    assert "1 of 6 tensors differ, embedding.weight first, 1 rounded to F16 as asked" in capsys.readouterr().out


def test_progress_for_a_program_that_follows(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["export", "first", "--to", "gguf", "--output", "a.gguf", "--check"]
    assert main(command) == 0
    assert "storing" not in capsys.readouterr().err
    monkeypatch.setenv("NANOCHAT_PROGRESS_SECONDS", "0")
    assert main(command) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["reading first…", "writing a.gguf…"]
    stored = [line for line in lines if line.startswith("storing tensors")]
    done, total = stored[-1].split("  ")[1].removesuffix(" MB").split("/")
    assert done == total and len(stored) > 10
    assert "reading it back, comparing every tensor…" in lines


def test_a_folder_for_transformers(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the format leaves out is measured, and transformers reads the folder; the folder is a model again."""
    pytest.importorskip("transformers")
    assert main(["export", "first", "--to", "huggingface", "--output", "hf", "--check"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("hf\n  LlamaForCausalLM: transformers reads this folder\n")
    assert "14 matrices are written as the numbers that their ternary codes and scales stand for" in text
    assert "float tensors: all of 20 tensors equal bit for bit" in text and "codes:" not in text
    assert ": logits differ by at most" in text and "its tokenizer gives the same ids" in text
    assert "the trained model's logits differ from the file's by at most" in text
    assert main(["generate", "hf", "--prompt", "import", "--max-tokens", "3", "--jsonl"]) == 0
    assert len(json.loads(capsys.readouterr().out)["tokens"]) <= 3
    command = ["export", "hf", "--to", "huggingface", "--output", "hf2", "--option", "precision=bf16"]
    assert main([*command, "--check", "--json"]) == 0
    check = json.loads(capsys.readouterr().out)["check"]
    assert check["left_out"] == 0.0 and set(check["rounded_floats"].values()) == {"bfloat16"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["first"], "say what to write: --to gguf --output FILE"),
        (["--to", "gguf", "--output", "x"], "name one model"),
        (["first", "--checkpoint", "x", "--gguf", "x"], "name one model"),
        (["first", "--gguf", "x", "--output", "y"], "give one or the other"),
        (["frist", "--to", "gguf", "--output", "x"], "no model 'frist'"),
        (["first", "--to", "gguff", "--output", "x"], "unknown exporter 'gguff'; did you mean 'gguf'?"),
        (["first", "--to", "gguf", "--output", "none/x"], "the folder none does not exist"),
        (["first", "--to", "gguf", "--output", "runs"], "is a directory"),
        (["first", "--gguf", "x", "--mhc", "y"], "y: this model has no mHC streams (its residual is AddResidual)"),
        (["first", "--gguf", "x", "--mhc", "./x"], "--mhc x: is the file that the model is written to"),
        (["first", "--gguf", "x", "--option", "arch"], "write KEY=VALUE"),
        (
            ["first", "--gguf", "x", "--option", "arch=1"],
            "--option arch: Extra inputs are not permitted (options of gguf: ",
        ),
        (["first", "--gguf", "x", "--head-type", "q4"], "--option head_type: Input should be"),
    ],
)
def test_refusals(run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    assert main(["export", *arguments]) == 2
    written = capsys.readouterr()
    assert written.out == "" and written.err.count("\n") == 1
    assert expected in written.err
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("exporter", "output", "expected"),
    [
        ("safetensors", "x.st", "--check: x.st: safetensors reads back only files named *.safetensors; name it so"),
        ("gguf", "x", "--check: x: gguf reads back only files named *.gguf"),
        ("gguf", "x.safetensors", "--check: x.safetensors: gguf reads back only files named *.gguf"),
        ("mhc", "x.mhc", "--check: nothing reads back what mhc writes (read back are: gguf, huggingface, safetensors)"),
    ],
)
def test_what_nothing_would_read_back_is_not_written(
    run: Path, capsys: pytest.CaptureFixture[str], exporter: str, output: str, expected: str
) -> None:
    assert main(["export", "first", "--to", exporter, "--output", output, "--check"]) == 2
    written = capsys.readouterr()
    assert written.out == "" and written.err.count("\n") == 1 and expected in written.err
    assert not Path(output).exists()


def test_a_file_that_does_not_read_back_fails(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file damaged between writing and reading back: what `--check` is for."""
    from nanochat_exporters.gguf.file_writer import write_file

    def write_and_damage(contents: Any, path: Path) -> int:
        size = write_file(contents, path)
        data = bytearray(path.read_bytes())
        data[-100] ^= 1
        path.write_bytes(data)
        return size

    monkeypatch.setattr("nanochat_exporters.gguf.exporter.write_file", write_and_damage)
    assert main(["export", "first", "--to", "gguf", "--output", "a.gguf", "--check"]) == 1
    written = capsys.readouterr()
    assert "1 of " in written.out and "do not use this file" in written.err


def test_a_model_whose_rounding_has_not_set_in_is_warned_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its held-out scores are those of another model too, so no file tells them."""
    warmup = {"start_step": 1, "steps": 4}
    quantizer = [{"match": "head", "name": "int8"}, {"match": "matrix", "name": "int4", "warmup": warmup}]
    path = tmp_path / "gradual.toml"
    data = tiny_dict(quantizer=quantizer, model__tie_embeddings=False, eval={"every": 3}, checkpoint={"every": 3})
    path.write_text(tomli_w.dumps(data))
    assert main(["train", str(path), "--runs-dir", str(tmp_path), "--run", "r", "--quiet"]) == 0
    for step, warned in ((3, True), (6, False)):
        capsys.readouterr()
        checkpoint, file = str(tmp_path / "r" / "checkpoints" / f"step_{step:08d}"), tmp_path / f"{step}.safetensors"
        assert main(["export", checkpoint, "--to", "safetensors", "--output", str(file)]) == 0
        assert main(["export", str(file), "--to", "safetensors", "--output", str(tmp_path / "again.safetensors")]) == 0
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 2 * warned
        for line in said:
            assert "quantizer.1 (int4): its warm-up had reached 50% at step 3 and ends at step 5" in line
        with safe_open(file, framework="pt") as opened:
            assert ("held_out" in json.loads(opened.metadata()["nanochat"])["facts"]) is not warned
