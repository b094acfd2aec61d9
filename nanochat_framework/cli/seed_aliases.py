"""Flags of the earlier system's `train`, kept as other names of configuration keys."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from nanochat_framework.errors import UsageError


@dataclass(frozen=True)
class SeedFlags:
    """What the flags amount to: a configuration, `--set` strings, where the run lives, and what else they ask for."""

    config: str
    overrides: tuple[str, ...]
    runs_dir: Path | None
    run: str | None
    epochs: int | None
    resume: str | None


KEYS = {
    "batch_size": "train.batch_size",
    "seq_len": "data.seq_len",
    "log_interval": "train.log_every",
    "checkpoint_interval": "checkpoint.every",
    "keep_last_checkpoints": "checkpoint.keep_last",
    "threads": "hardware.threads",
    "total_steps": "train.steps",
    "warmup_steps": "schedule.warmup_steps",
    "lr": "optimizer.0.lr",
}
"""Flag -> key that it sets."""


def add_seed_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, in a group of their own."""
    group = parser.add_argument_group("other names of common settings")
    group.add_argument("--config", dest="config_flag", metavar="NAME", help="the configuration, as a flag")
    group.add_argument("--dataset", choices=("tokens", "synthetic"), help="data.source.name")
    group.add_argument("--data-path", metavar="FILE", help="data.source.path")
    group.add_argument("--n-samples", type=int, metavar="N", help="data.source.n_samples of --dataset synthetic")
    group.add_argument("--epochs", type=int, metavar="N", help="train.steps, as passes over the data")
    group.add_argument("--checkpoint-dir", type=Path, metavar="DIR", help="the run's folder (--runs-dir and --run)")
    group.add_argument("--resume", metavar="DIR", help="resume a run or checkpoint (`nanochat resume`)")
    group.add_argument("--device", metavar="DEVICE", help="hardware.device")
    group.add_argument("--fp16", action="store_true", help="16-bit arithmetic: train.precision = bf16")
    for flag, key in KEYS.items():
        kind = float if flag == "lr" else int
        group.add_argument(f"--{flag.replace('_', '-')}", type=kind, metavar="X", help=key)


def resolve_seed_flags(arguments: argparse.Namespace) -> SeedFlags:
    """Turn parsed flags into configuration keys. Raises UsageError where they contradict each other."""
    named = [name for name in (arguments.config, arguments.config_flag) if name]
    if len(named) == 2:
        raise UsageError(f"two configurations are named, {named[0]} and --config {named[1]}; name one")
    if not named and not arguments.resume:
        raise UsageError("name a configuration: a TOML file or a preset, for example `nanochat train tiny-cpu`")
    if arguments.checkpoint_dir and (arguments.run or arguments.runs_dir):
        raise UsageError("--checkpoint-dir is --runs-dir and --run in one; give it or them")
    if arguments.epochs is not None and (arguments.epochs < 1 or arguments.total_steps is not None):
        raise UsageError("--epochs must be at least 1 and excludes --total-steps")
    folder: Path | None = arguments.checkpoint_dir
    return SeedFlags(
        config=named[0] if named else "",
        overrides=tuple(_overrides(arguments)),
        runs_dir=folder.parent if folder else None,
        run=folder.name if folder else None,
        epochs=arguments.epochs,
        resume=arguments.resume,
    )


def _overrides(arguments: argparse.Namespace) -> list[str]:
    overrides = []
    if arguments.dataset:
        overrides.append(f"data.source.name={json.dumps(arguments.dataset)}")
    if arguments.data_path:
        overrides.append(f"data.source.path={json.dumps(arguments.data_path)}")
    if arguments.n_samples is not None:
        overrides.append(f"data.source.n_samples={arguments.n_samples}")
    overrides += [f"{key}={value}" for flag, key in KEYS.items() if (value := getattr(arguments, flag)) is not None]
    if arguments.device:
        device, _, number = arguments.device.partition(":")
        if number not in ("", "0"):
            raise UsageError(
                f"--device {arguments.device}: one device is used; choose it with CUDA_VISIBLE_DEVICES={number}"
            )
        overrides.append(f"hardware.device={json.dumps(device)}")
    if arguments.fp16:
        print("note: --fp16 trains in bf16, whose range needs no loss scaling", file=sys.stderr)
        overrides.append('train.precision="bf16"')
    return overrides
