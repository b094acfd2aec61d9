"""What several commands share."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nanochat_framework.errors import UsageError
from nanochat_framework.plugins import PluginHost, load_plugins

if TYPE_CHECKING:
    from nanochat_framework.contracts.exporter import ModelBundle
    from nanochat_framework.plugins import Registry


def load_host() -> PluginHost:
    """Load the plugins, and say on stderr, a line each, which did not load."""
    host = load_plugins()
    for warning in host.warnings():
        print(f"warning: plugin {warning} (`nanochat plugins list`)", file=sys.stderr)
    return host


def add_weights_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """`--weights`: which weights of a checkpoint are used."""
    parser.add_argument(
        "--weights",
        choices=("trained", "ema"),
        default="trained",
        help="of a run or checkpoint: the trained weights, or their average if train.ema_decay kept one (default trained)",
    )


def open_model(target: str, arguments: argparse.Namespace, registry: Registry) -> ModelBundle:
    """The model that a person named, by `--runs-dir` and `--weights`; says on stderr if it is not what was trained."""
    from nanochat_framework.config.quantization import unfinished_warmups
    from nanochat_framework.inference.bundle import bundle_from

    bundle = bundle_from(target, registry, runs_dir=arguments.runs_dir, weights=arguments.weights)
    for line in unfinished_warmups(bundle.quantizers, bundle.metadata.get("step", sys.maxsize)):
        print(f"warning: {target}: {line}", file=sys.stderr)
    return bundle


def process_count(nproc: int) -> int:
    """`--nproc`, checked. Raises UsageError."""
    if nproc < 1:
        raise UsageError(f"--nproc {nproc}: at least one process is needed")
    if nproc > 1 and "WORLD_SIZE" in os.environ:
        raise UsageError("--nproc starts the processes itself; under torchrun leave it out")
    return nproc


def print_json(value: Any) -> None:
    """Data for programs, on stdout."""
    print(json.dumps(value, indent=1, default=str))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns on stdout; the last one may be long."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
