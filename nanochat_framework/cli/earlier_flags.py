"""Flags of the earlier system's `train`, kept as other names of configuration keys."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nanochat_framework.errors import UsageError

if TYPE_CHECKING:
    from nanochat_framework.config.overrides import Override


@dataclass(frozen=True)
class EarlierFlags:
    """What the flags amount to: a configuration, overrides, where the run lives, and what else they ask for."""

    config: str
    overrides: tuple[Override, ...]
    runs_dir: Path | None
    run: str | None
    epochs: int | None
    resume: str | None


NUMBERS = {
    "batch_size": ("train.batch_size", "sequences in one micro-batch"),
    "seq_len": ("data.seq_len", "length of a sequence, in tokens"),
    "log_interval": ("train.log_every", "steps between metrics"),
    "checkpoint_interval": ("checkpoint.every", "steps between checkpoints"),
    "keep_last_checkpoints": ("checkpoint.keep_last", "step checkpoints kept"),
    "threads": ("hardware.threads", "CPU threads"),
    "total_steps": ("train.steps", "optimizer steps"),
    "warmup_steps": ("schedule.warmup_steps", "steps of the warm-up"),
    "lr": ("optimizer.0.lr", "learning rate of the first [[optimizer]], in presets the matrices'"),
    "n_samples": ("data.source.n_samples", "sequences of --dataset synthetic"),
}
"""Flag -> (key that it sets, help)."""
NO_CONFIG = ("total_steps", "warmup_steps", "lr", "fp16")
"""Flags that only the earlier system's `train_nano_simple` had, which trained one model and took no `--config`."""
SIMPLE_MODEL = "nano-125m"


def add_earlier_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, in a group of their own."""
    group = parser.add_argument_group("other names of common settings")
    group.add_argument("--config", dest="config_flag", metavar="CONFIG", help="the configuration, as a flag")
    group.add_argument("--dataset", choices=("tokens", "synthetic"), help="data.source.name")
    group.add_argument("--data-path", metavar="FILE", help="data.source.path, relative to the working directory")
    group.add_argument("--epochs", type=int, metavar="N", help="train.steps, as passes over the training tokens")
    group.add_argument(
        "--checkpoint-dir", type=Path, metavar="DIR", help="the run's folder: --runs-dir and --run in one"
    )
    group.add_argument("--resume", metavar="DIR", help="a run or checkpoint to continue; see `nanochat resume`")
    group.add_argument("--device", metavar="DEVICE", help="hardware.device: auto, cpu, cuda or mps")
    group.add_argument("--fp16", action="store_true", help="train.precision = fp16, with loss scaling")
    for flag, (key, text) in NUMBERS.items():
        kind = float if flag == "lr" else int
        group.add_argument(_option(flag), type=kind, metavar="X" if kind is float else "N", help=f"{key}: {text}")


def resolve_earlier_flags(arguments: argparse.Namespace) -> EarlierFlags:
    """Turn parsed flags into configuration keys. Raises UsageError where they contradict each other."""
    if arguments.checkpoint_dir is not None and (arguments.run or arguments.runs_dir):
        raise UsageError("--checkpoint-dir is --runs-dir and --run in one; give it or them")
    folder = _run_folder(arguments.checkpoint_dir)
    if arguments.resume is not None:
        _tell_what_resume_leaves_out(arguments)
        return EarlierFlags("", (), folder.parent if folder else None, None, None, checkpoint_of(arguments.resume))
    config = _configuration(arguments)
    _refuse_contradictions(arguments)
    overrides = tuple(_overrides(arguments))
    _refuse_saying_twice(overrides, arguments.overrides)
    return EarlierFlags(
        config=config,
        overrides=overrides,
        runs_dir=folder.parent if folder else None,
        run=folder.name if folder else None,
        epochs=arguments.epochs,
        resume=None,
    )


def _overrides(arguments: argparse.Namespace) -> Iterator[Override]:
    """The configuration keys that the flags set. Messages about them name the flag."""
    from nanochat_framework.config.overrides import Override, parse_override

    def override(flag: str, key: str, value: object) -> Override:
        made = parse_override(f"{key}={json.dumps(value, ensure_ascii=False)}", flag=_option(flag))
        if not isinstance(made, Override):
            raise UsageError(str(made))
        return made

    if arguments.dataset is not None:
        yield override("dataset", "data.source.name", arguments.dataset)
    if arguments.data_path is not None:
        yield override("data_path", "data.source.path", arguments.data_path)
    for flag, (key, _) in NUMBERS.items():
        if getattr(arguments, flag) is not None:
            yield override(flag, key, getattr(arguments, flag))
    if arguments.device is not None:
        device, _, number = arguments.device.partition(":")
        if number not in ("", "0"):
            raise UsageError(
                f"--device {arguments.device}: one device is used; choose it with CUDA_VISIBLE_DEVICES={number} and "
                f"--device {device}"
            )
        yield override("device", "hardware.device", device)
    if arguments.fp16:
        yield override("fp16", "train.precision", "fp16")


def checkpoint_of(path: str) -> str:
    """Where the earlier system's checkpoint path leads here: `RUN/step_15000` is `RUN/checkpoints/step_00015000`.

    A path that exists, or leads nowhere here either, is returned as it is.
    """
    given = Path(path)
    step = re.fullmatch(r"step_(\d+)", given.name)
    name = f"step_{int(step.group(1)):08d}" if step else given.name
    for candidate in (given.with_name(name), given.parent / "checkpoints" / name) if given.name else ():
        if not given.exists() and candidate.is_dir():
            return str(candidate)
    return path


def _option(flag: str) -> str:
    return f"--{flag.replace('_', '-')}"


def _run_folder(folder: Path | None) -> Path | None:
    if folder is not None and not folder.name:
        raise UsageError(f"--checkpoint-dir {folder}: names no folder for the run; say for example checkpoints/first")
    return folder


def _configuration(arguments: argparse.Namespace) -> str:
    named = [str(name) for name in (arguments.config, arguments.config_flag) if name]
    if len(named) == 2:
        raise UsageError(f"two configurations are named, {named[0]} and --config {named[1]}; name one")
    if named:
        return named[0]
    if any(getattr(arguments, flag) not in (None, False) for flag in NO_CONFIG):
        print(f"note: no configuration is named; taking {SIMPLE_MODEL}, as these flags once did", file=sys.stderr)
        return SIMPLE_MODEL
    raise UsageError("name a configuration: a TOML file or a preset, for example `nanochat train tiny-cpu`")


def _refuse_contradictions(arguments: argparse.Namespace) -> None:
    if arguments.epochs is not None and arguments.epochs < 1:
        raise UsageError(f"--epochs must be at least 1, not {arguments.epochs}")
    if arguments.epochs is not None and arguments.total_steps is not None:
        raise UsageError("--epochs and --total-steps both say how long to train; give one")
    if arguments.dataset == "synthetic" and arguments.data_path is not None:
        raise UsageError("--data-path is for --dataset tokens; synthetic data comes from no file")
    if arguments.dataset == "tokens" and arguments.n_samples is not None:
        raise UsageError("--n-samples is for --dataset synthetic; how many tokens there are is up to the file")


def _refuse_saying_twice(flags: Sequence[Override], settings: Sequence[str]) -> None:
    """Raise UsageError where a `--set` names the key of a flag: one of them would be dropped without a word."""
    from nanochat_framework.config.overrides import Override, parse_override

    by_key = {flag.path: flag for flag in flags}
    for text in settings:
        setting = parse_override(text)
        if not isinstance(setting, Override):
            continue  # it is told about when it is applied
        if setting.path in by_key:
            raise UsageError(f"{by_key[setting.path].where} and {setting.where} say the same key; give one")


def _tell_what_resume_leaves_out(arguments: argparse.Namespace) -> None:
    """A run continues with the configuration frozen in it; say so where the command names another."""
    if arguments.overrides:
        raise UsageError("--set changes nothing in a run that is resumed: its configuration is frozen")
    flags = ["dataset", "data_path", "device", "fp16", "epochs", *NUMBERS]
    given = [_option(flag) for flag in flags if getattr(arguments, flag) not in (None, False)]
    given += ["--config"] * bool(arguments.config_flag) + [str(arguments.config)] * bool(arguments.config)
    if given:
        names = ", ".join(given)
        print(f"note: the run goes on with its own configuration; not read again: {names}", file=sys.stderr)
