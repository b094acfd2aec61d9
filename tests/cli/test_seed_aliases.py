"""The earlier system's documented command lines, word for word after the program's name."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import pytest

from nanochat_framework.cli import train
from nanochat_framework.cli.seed_aliases import SeedFlags, resolve_seed_flags
from nanochat_framework.config.load import load_config
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import UsageError
from nanochat_framework.plugins import Registry

TRAIN_4090 = """--config nano-125m --dataset tokens --data-path data/tokens.bin --batch-size 2 --seq-len 256
    --checkpoint-dir checkpoints/nano125m --log-interval 50 --checkpoint-interval 5000 --keep-last-checkpoints 5
    --device cuda"""
RESUME = """--config nano-125m --dataset tokens --data-path data/tokens.bin --resume checkpoints/nano125m/step_15000
    --checkpoint-dir checkpoints/nano125m --device cuda"""


def flags(line: str) -> SeedFlags:
    parser = argparse.ArgumentParser()
    train.configure(parser)
    return resolve_seed_flags(parser.parse_args(shlex.split(line)))


def config(line: str, registry: Registry) -> RunConfig:
    found = flags(line)
    return load_config(found.config, registry=registry, overrides=found.overrides).config


def test_the_documented_training(registry: Registry) -> None:
    made = config(TRAIN_4090, registry)
    assert made.data.source.to_dict() == {"name": "tokens", "path": "data/tokens.bin"}
    assert (made.train.batch_size, made.data.seq_len, made.train.log_every) == (2, 256, 50)
    assert (made.checkpoint.every, made.checkpoint.keep_last, made.hardware.device) == (5000, 5, "cuda")
    found = flags(TRAIN_4090)
    assert (found.runs_dir, found.run) == (Path("checkpoints"), "nano125m")


def test_the_documented_resume() -> None:
    assert flags(RESUME).resume == "checkpoints/nano125m/step_15000"


def test_the_other_flags(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    made = config(
        "--config tiny-cpu --dataset synthetic --n-samples 500 --threads 2 --total-steps 17000 --warmup-steps 7 --lr 0.5 "
        "--device cuda:0 --fp16",
        registry,
    )
    assert made.data.source.to_dict() == {"name": "synthetic", "n_samples": 500, "seed": 42}
    assert (made.hardware.threads, made.hardware.device, made.train.steps) == (2, "cuda", 17000)
    assert (made.schedule.config.warmup_steps, made.optimizer[0].component.config.lr) == (7, 0.5)
    assert made.train.precision == "bf16"
    assert "trains in bf16" in capsys.readouterr().err
    assert flags("tiny-cpu --epochs 3").epochs == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tiny-cpu --config d20", "two configurations"),
        ("--dataset synthetic", "name a configuration"),
        ("tiny-cpu --epochs 2 --total-steps 5", "excludes --total-steps"),
        ("tiny-cpu --checkpoint-dir a --run b", "give it or them"),
        ("tiny-cpu --device cuda:1", "CUDA_VISIBLE_DEVICES=1"),
    ],
)
def test_contradictions(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        flags(line)
