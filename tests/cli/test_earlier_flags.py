"""The earlier system's documented command lines, word for word after the program's name."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from nanochat_framework.cli import train
from nanochat_framework.cli.earlier_flags import EarlierFlags, checkpoint_of, resolve_earlier_flags
from nanochat_framework.cli.parser import Parser
from nanochat_framework.config.load import load_config
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import ConfigError, UsageError
from nanochat_framework.plugins import Registry

QUICK_START = r"""
    --config nano-125m \
    --dataset tokens \
    --data-path data/tokens.bin \
    --batch-size 2 \
    --seq-len 256 \
    --checkpoint-dir checkpoints/nano125m \
    --log-interval 50 \
    --checkpoint-interval 5000 \
    --keep-last-checkpoints 5 \
    --device cuda
"""
RESUME = r"""
    --config nano-125m \
    --dataset tokens \
    --data-path data/tokens.bin \
    --resume checkpoints/nano125m/step_15000 \
    --checkpoint-dir checkpoints/nano125m \
    --device cuda
"""
SIMPLE = r"""
  --total-steps 17000 \
  --device cuda:0 \
  --checkpoint-dir checkpoints/nano-125m-gpu
"""
SIMPLE_COMPLETE = r"""
  --total-steps 20000 \
  --warmup-steps 2000 \
  --batch-size 1 \
  --seq-len 256 \
  --lr 0.02 \
  --device cuda:0 \
  --log-interval 100 \
  --checkpoint-interval 1000 \
  --checkpoint-dir checkpoints/nano-125m-final
"""
SIMPLE_FP16 = r"""
  --device cuda:0 \
  --fp16
"""


def flags(line: str) -> EarlierFlags:
    parser = Parser()
    train.configure(parser)
    return resolve_earlier_flags(parser.parse(shlex.split(line.replace("\\\n", " "))))


def config(line: str, registry: Registry) -> RunConfig:
    found = flags(line)
    return load_config(found.config, registry=registry, overrides=found.overrides).config


def test_the_documented_training(registry: Registry) -> None:
    made = config(QUICK_START, registry)
    assert made.model.config.dim == 768
    assert made.data.source.to_dict() == {"name": "tokens", "path": "data/tokens.bin"}
    assert (made.train.batch_size, made.data.seq_len, made.train.log_every) == (2, 256, 50)
    assert (made.checkpoint.every, made.checkpoint.keep_last, made.hardware.device) == (5000, 5, "cuda")
    found = flags(QUICK_START)
    assert (found.runs_dir, found.run, found.epochs, found.resume) == (Path("checkpoints"), "nano125m", None, None)


def test_the_documented_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert flags(RESUME).resume == "checkpoints/nano125m/step_15000", (
        "nothing is there: the message names what was typed"
    )
    here = tmp_path / "checkpoints" / "nano125m" / "checkpoints"
    (here / "step_00015000").mkdir(parents=True)
    (here / "final").mkdir()
    assert flags(RESUME).resume == "checkpoints/nano125m/checkpoints/step_00015000"
    note = capsys.readouterr().err
    assert "not read again: --dataset, --data-path, --device, --config" in note
    assert checkpoint_of("checkpoints/nano125m/final") == "checkpoints/nano125m/checkpoints/final"
    assert checkpoint_of("checkpoints/nano125m") == "checkpoints/nano125m"
    assert checkpoint_of("a-run") == "a-run"


def test_the_documented_simple_training(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    made = config(SIMPLE, registry)
    assert (made.model.config.dim, made.train.steps, made.hardware.device) == (768, 17000, "cuda")
    assert "taking nano-125m" in capsys.readouterr().err
    assert (flags(SIMPLE).runs_dir, flags(SIMPLE).run) == (Path("checkpoints"), "nano-125m-gpu")
    made = config(SIMPLE_COMPLETE, registry)
    assert (made.train.steps, made.schedule.config.warmup_steps, made.train.batch_size) == (20000, 2000, 1)
    assert (made.data.seq_len, made.optimizer[0].component.config.lr, made.train.log_every) == (256, 0.02, 100)
    assert made.optimizer[0].component.name == "muon"
    capsys.readouterr()
    assert config(SIMPLE_FP16, registry).train.precision == "fp16"


def test_the_flags_that_no_example_uses(registry: Registry) -> None:
    made = config("--config tiny-cpu --dataset synthetic --n-samples 500 --threads 2", registry)
    assert made.data.source.to_dict() == {"name": "synthetic", "n_samples": 500, "seed": 42}
    assert made.hardware.threads == 2
    assert flags("tiny-cpu --epochs 3").epochs == 3
    assert config("tiny-cpu --data-path 'a \"b\" é.bin'", registry).data.source.config.path == 'a "b" é.bin'


def test_flags_and_settings_of_other_keys_go_together() -> None:
    assert len(flags("tiny-cpu --total-steps 4 --set optimizer.1.lr=0.1 --set train.log_every=1").overrides) == 1
    assert flags("tiny-cpu --total-steps 4 --set =").overrides, "no setting: told about where settings are read"


def test_a_wrong_value_is_told_by_its_flag(registry: Registry) -> None:
    with pytest.raises(ConfigError) as error:
        config("tiny-cpu --batch-size 0 --device gpu --lr=-1 --seq-len 512", registry)
    assert str(error.value).splitlines() == [
        "--batch-size: train.batch_size: must be greater than 0 (got 0)",
        "--device: hardware.device: expected 'auto', 'cpu', 'cuda' or 'mps' (got \"gpu\")",
        "--lr: optimizer.0.lr: must be at least 0 (got -1.0)",
    ]
    with pytest.raises(ConfigError, match=r"^--seq-len: data.seq_len: 512 is more than model.max_seq_len 256 "):
        config("tiny-cpu --seq-len 512", registry)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tiny-cpu --config d20", "two configurations"),
        ("--dataset synthetic", "name a configuration"),
        ("tiny-cpu --epochs 2 --total-steps 5", "both say how long"),
        ("tiny-cpu --epochs 0", "at least 1"),
        ("tiny-cpu --checkpoint-dir a --run b", "give it or them"),
        ("tiny-cpu --checkpoint-dir .", "names no folder"),
        ("tiny-cpu --checkpoint-dir /", "names no folder"),
        ("tiny-cpu --device cuda:1", "CUDA_VISIBLE_DEVICES=1 and --device cuda"),
        ("tiny-cpu --dataset synthetic --data-path x", "--data-path is for --dataset tokens"),
        ("tiny-cpu --dataset tokens --n-samples 5", "--n-samples is for --dataset synthetic"),
        (
            "tiny-cpu --total-steps -1 --set train.steps=4",
            "^--total-steps and --set train.steps say the same key; give one$",
        ),
        ("tiny-cpu --lr 1 --set optimizer.0.lr=0.1", "--lr and --set optimizer.0.lr say the same key"),
        ("--resume a-run --set train.steps=5", "--set changes nothing"),
        ("tiny-cpu --batch-size many", "invalid int value: 'many'"),
        ("tiny-cpu --dataset files", "invalid choice: 'files'"),
    ],
)
def test_contradictions(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        flags(line)
