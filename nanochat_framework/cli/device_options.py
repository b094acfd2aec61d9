"""The options of commands that compute with a model: on which device, with how many threads."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from nanochat_framework.errors import UsageError

if TYPE_CHECKING:
    import torch

    from nanochat_framework.plugins.registry import Registry


def add_device_arguments(parser: argparse._ActionsContainer) -> None:
    """Add `--device` and `--threads`."""
    parser.add_argument(
        "--device",
        "--device-type",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="where to compute (default auto: the best there is)",
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads; 0 takes all cores (default)")


def check_threads(number: int) -> None:
    """Raises UsageError for a `--threads` that no process could have."""
    from nanochat_framework.machine.cpu import MOST_THREADS

    if not 0 <= number <= MOST_THREADS:
        raise UsageError(f"--threads must be at least 0 and at most {MOST_THREADS}, not {number}")


def prepare_device(arguments: argparse.Namespace, registry: Registry) -> torch.device:
    """Set kernels and threads of this process; returns the device. Raises UsageError for one that is not there."""
    import torch

    from nanochat_framework.kernels.table import KernelTable, activate
    from nanochat_framework.training.setup import choose_device

    check_threads(arguments.threads)
    device = choose_device(arguments.device)
    activate(KernelTable(registry))
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    return device
