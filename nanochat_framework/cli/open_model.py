"""The model of a command that reads one: which weights of it, and a word if they are not what was trained."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanochat_framework.contracts.exporter import ModelBundle
    from nanochat_framework.plugins import Registry


def add_weights_option(parser: argparse.ArgumentParser) -> None:
    """`--weights`: which weights of a checkpoint are used."""
    parser.add_argument(
        "--weights",
        choices=("trained", "ema"),
        default="trained",
        help="of a run or checkpoint: the trained weights, or their average if train.ema_decay kept one (default trained)",
    )


def open_model(target: str, arguments: argparse.Namespace, registry: Registry) -> ModelBundle:
    """The model that a person named, by `--runs-dir` and `--weights`; warns on stderr where its rounding is not trained."""
    from nanochat_framework.config.quantization import unfinished_warmups
    from nanochat_framework.inference.bundle import bundle_from

    bundle = bundle_from(target, registry, runs_dir=arguments.runs_dir, weights=arguments.weights)
    for line in unfinished_warmups(bundle.quantizers, bundle.metadata.get("step", sys.maxsize)):
        print(f"warning: {target}: {line}", file=sys.stderr)
    return bundle
