"""`nanochat plan` as a person or a program meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nanochat_framework.cli import main

ROOT = Path(__file__).resolve().parents[2]


def _plan(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["plan", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _plan(capsys, "ittybitty-38m", "--json", "--memory", "24GB", "--batch-sizes", "32,1,32")
    plan = json.loads(out)
    assert code == 0
    assert plan["parameters"]["total"] == 37_748_736
    assert [(part["name"], part["parameters"]) for part in plan["parameters"]["parts"]] == [
        ("embedding", 12_582_912),
        ("blocks", 12_582_912),
        ("head", 12_582_912),
    ]
    assert sum(part["share"] for part in plan["parameters"]["parts"]) == pytest.approx(1)
    products = 2 * (12_582_912 + 12_582_912)
    attention = 4 * 4 * 512 * (2048 + 1) / 2  # 4 layers, 512 channels, keys seen on average
    assert plan["flops_per_token"]["training"] == 3 * (products + attention)
    assert plan["run"]["tokens"] == 954 * 524_288
    rows = plan["memory"]["rows"]
    assert [row["batch_size"] for row in rows] == [1, 32]
    assert all(row["total_bytes"] == sum(row["bytes"].values()) for row in rows)
    largest = plan["memory"]["largest_batch_size"]
    assert [row["fits"] for row in rows] == [row["batch_size"] <= largest for row in rows]


def test_text_has_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _plan(capsys, "nano-125m", "--memory", "24GB")
    assert code == 0
    expected_parts = ("123,551,232", "68.8 %", "FLOPs per token", "8*", "headroom", "fits 24 GB", "muon (matrix)")
    for expected in (*expected_parts, "largest batch size in 24 GB: ", "hard links"):
        assert expected in out, expected
    assert "unknown" not in out


def test_a_teacher_makes_the_figures_lower_bounds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The plan does not count a further model, and says so."""
    config = tmp_path / "student.toml"
    config.write_text('extends = "tiny-cpu"\n[[objective]]\nname = "distillation"\nteacher = "runs/big"\n')
    code, out, _ = _plan(capsys, str(config), "--memory", "24GB", "--batch-sizes", "8")
    assert code == 0
    assert "not counted: runs/big" in out and "unknown" in out and ">" in out
    _, data, _ = _plan(capsys, str(config), "--json", "--memory", "24GB", "--batch-sizes", "8")
    memory = json.loads(data)["memory"]
    assert (memory["complete"], memory["largest_batch_size"], memory["rows"][0]["fits"]) == (False, None, None)


def test_what_does_not_fit_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _plan(capsys, "large-7b", "--memory", "24GB", "--batch-sizes", "1")
    assert code == 0
    assert "nothing fits in 24 GB: one sequence needs" in out


def test_set_changes_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    _, before, _ = _plan(capsys, "tiny-cpu", "--json")
    _, after, _ = _plan(capsys, "tiny-cpu", "--json", "--set", "model.n_layers=5")
    block = 4 * 256 * 256 + 3 * 256 * 512 + 2 * 256
    assert json.loads(after)["parameters"]["total"] - json.loads(before)["parameters"]["total"] == block


def test_table_of_the_38m_model(capsys: pytest.CaptureFixture[str]) -> None:
    gpu = ["--set", 'hardware.device="cuda"', "--memory", "24GB", "--batch-sizes", "32,40,48,56"]
    code, out, _ = _plan(capsys, "ittybitty-38m", *gpu)
    assert code == 0
    header = "batch   model  optimizer  activations  overhead     peak        at  headroom  fits 24 GB"
    below = out[out.index(header) :].splitlines()[1:5]
    assert [line.split()[0].rstrip("*") for line in below] == ["32", "40", "48", "56"]
    _, data, _ = _plan(capsys, "ittybitty-38m", "--json", *gpu)
    memory = json.loads(data)["memory"]
    assert all(row["headroom_bytes"] == 24_000_000_000 - row["total_bytes"] for row in memory["rows"])
    assert [group["optimizer"] for group in memory["optimizers"]] == ["muon", "lion"]
    assert sum(group["state"] for group in memory["optimizers"]) == memory["rows"][0]["bytes"]["optimizer"]


def test_time_and_cost_of_a_stated_speed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _plan(capsys, "d20", "--json", "--tokens-per-second", "50,000", "--price-per-hour", "2")
    plan = json.loads(out)
    assert code == 0
    assert plan["duration"]["training_seconds"] == plan["run"]["tokens"] / 50_000
    assert plan["duration"]["cost"] == pytest.approx(2 * plan["duration"]["seconds"] / 3600)
    _, text, _ = _plan(capsys, "d20", "--flops", "100T", "--mfu", "0.5")
    assert "(100 TFLOP/s at an MFU of 0.5)" in text


def test_measured_speed_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--set", "train.batch_size=1", "--set", "data.seq_len=64", "--set", 'hardware.device="cpu"']
    code, out, err = _plan(capsys, "tiny-cpu", "--measure", *small)
    assert code == 0
    assert "measuring: " in err
    assert "(measured here, " in out
    assert "measured: " in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mfu", "0.4"], "--mfu: it is a share of the device's peak; say that with --flops"),
        (["--flops", "100T", "--mfu", "1.5"], "--mfu: '1.5' is not a number above 0 and at most 1"),
        (["--flops", "fast"], "--flops: 'fast' is not a number of operations per second"),
        (["--flops", "0"], "--flops: '0' is not a number of operations per second"),
        (["--tokens-per-second", "-5"], "--tokens-per-second: '-5' is not a number above 0"),
        (["--tokens-per-second", "nan"], "--tokens-per-second: 'nan' is not a number above 0"),
        (["--price-per-hour", "2"], "--price-per-hour: cost needs a speed"),
        (["--measure", "--flops", "1T"], "--flops: not allowed with argument --measure"),
        (["--memory", "24QB"], "--memory: '24QB' is not an amount of memory"),
        (["--memory", "0GB"], "--memory: '0GB' is not an amount of memory"),
        (["--batch-sizes", "1,two"], "--batch-sizes: 'two' is not a number of sequences"),
        (["--batch-sizes", "1,,2"], "--batch-sizes: '' is not a number of sequences"),
        (["--batch-sizes", "0"], "--batch-sizes: '0' is not a number of sequences"),
        (["--batch-sizes", "9" * 5000], "is not a number of sequences"),
        (["--set", "model.dimm=3"], "model.dimm"),
    ],
)
def test_mistakes_are_one_line_and_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    code, out, err = _plan(capsys, "tiny-cpu", *arguments)
    assert (code, out) == (2, "")
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]


def test_neither_torch_nor_numpy_is_imported() -> None:
    script = (
        "import sys\n"
        "from nanochat_framework.cli import main\n"
        "code = main(['plan', 'nano-125m', '--memory', '24GB'])\n"
        "heavy = [name for name in ('torch', 'numpy') if name in sys.modules]\n"
        "sys.exit(f'imported: {heavy}' if heavy else code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "123,551,232" in done.stdout


HOURS = ("tiny-cpu", "--set", "train.max_hours=0.5", "--json")


@pytest.mark.parametrize("evaluated", [0, 40])
def test_hours_are_steps_at_a_speed(capsys: pytest.CaptureFixture[str], evaluated: int) -> None:
    """As many as fit with their evaluations, a step more or less."""
    code, out, _ = _plan(capsys, *HOURS, "--tokens-per-second", "5000", "--set", f"eval.batches={max(evaluated, 1)}")
    plan = json.loads(out)
    assert code == 0
    second_per_step = plan["run"]["tokens_per_step"] / 5000
    assert plan["duration"]["seconds"] <= 1800 + second_per_step
    assert plan["duration"]["seconds"] > 1800 - 2 * second_per_step - plan["duration"]["evaluation_seconds"] / 10


def test_hours_on_a_device_by_its_peak(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _plan(capsys, *HOURS, "--flops", "1T", "--mfu", "0.5")
    plan = json.loads(out)
    assert code == 0 and plan["run"]["flops"] == pytest.approx(0.5e12 * plan["duration"]["training_seconds"], rel=1e-6)


def test_hours_without_a_speed_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = _plan(capsys, *HOURS)
    assert code == 2 and out == "" and "say how fast training is (--measure, --tokens-per-second" in error
