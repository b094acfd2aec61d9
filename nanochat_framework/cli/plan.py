"""`nanochat plan`: what a configuration costs, before anything is allocated."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanochat_framework.config.run_config import RunConfig
    from nanochat_framework.planning.duration import Speed
    from nanochat_framework.planning.measurement import Measurement
    from nanochat_framework.planning.plan import DeviceSpeed

HELP = "parameters, FLOPs, memory, time and disk of a configuration, before it runs"

EXAMPLES = """\
examples:
  nanochat plan nano-125m
  nanochat plan ittybitty-38m --memory 24GB --batch-sizes 32,40,48,56
  nanochat plan nano-125m --flops 165T --mfu 0.4 --price-per-hour 0.5
  nanochat plan tiny-cpu --measure
  nanochat plan my.toml --set model.n_layers=24 --json

Nothing is allocated (but with --measure), and torch is imported only for components that do not describe themselves. GB
is 10^9 bytes, GiB 2^30.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("config", help="path of a TOML file or of a run, or the name of a preset")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="change one key (repeatable)"
    )
    parser.add_argument("--memory", metavar="SIZE", help="memory of the device, like 24GB; says what fits")
    parser.add_argument(
        "--batch-sizes", metavar="N,N", help="micro-batches to plan for (default: around the configured)"
    )
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument("--measure", action="store_true", help="train a few steps here, for true speed and memory")
    speed.add_argument("--tokens-per-second", metavar="N", help="training speed, for time and cost")
    speed.add_argument("--flops", metavar="RATE", help="the device's peak operations per second, like 165T")
    parser.add_argument("--mfu", metavar="SHARE", help="share of --flops that training reaches (default: 0.4)")
    parser.add_argument("--price-per-hour", metavar="PRICE", help="what an hour costs, in any currency")
    parser.add_argument("--json", action="store_true", help="the plan as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Validate, plan, print."""
    import sys

    from nanochat_framework.cli.common import load_host, print_json
    from nanochat_framework.config.load import load_config
    from nanochat_framework.planning.plan import make_plan
    from nanochat_framework.planning.report import as_text

    memory, sizes = _memory(arguments.memory), _batch_sizes(arguments.batch_sizes)
    speed, price = _speed(arguments), _price(arguments)
    loaded = load_config(arguments.config, registry=load_host().registry, overrides=arguments.overrides)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    plan = make_plan(
        loaded.config,
        name=arguments.config,
        batch_sizes=sizes,
        memory_bytes=memory,
        speed=speed,
        measurement=_measured(loaded.config) if arguments.measure else None,
        price_per_hour=price,
    )
    if arguments.json:
        print_json(plan.to_dict())
    else:
        print(as_text(plan))
    return 0


def _measured(config: RunConfig) -> Measurement:
    """Train a few steps, and say so: it takes some seconds, or longer for a large model."""
    import sys

    from nanochat_framework.planning.measurement import SECONDS, measure

    print(f"measuring: training for {SECONDS:g} seconds or a few steps", file=sys.stderr)
    return measure(config)


def _memory(text: str | None) -> int | None:
    from nanochat_framework.errors import UsageError
    from nanochat_framework.planning.sizes import parse_size

    if text is None:
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"--memory: {error}") from None


def _speed(arguments: argparse.Namespace) -> Speed | DeviceSpeed | None:
    """What was stated about speed."""
    from nanochat_framework.errors import UsageError
    from nanochat_framework.planning.duration import USUAL_MFU, Speed
    from nanochat_framework.planning.plan import DeviceSpeed
    from nanochat_framework.planning.sizes import parse_rate

    if arguments.mfu is not None and arguments.flops is None:
        raise UsageError("--mfu: it is a share of the device's peak; say that with --flops")
    if arguments.tokens_per_second is not None:
        return Speed(_number("--tokens-per-second", arguments.tokens_per_second), "as stated")
    if arguments.flops is None:
        return None
    mfu = USUAL_MFU if arguments.mfu is None else _number("--mfu", arguments.mfu, largest=1.0)
    try:
        return DeviceSpeed(parse_rate(arguments.flops), mfu)
    except ValueError as error:
        raise UsageError(f"--flops: {error}") from None


def _price(arguments: argparse.Namespace) -> float | None:
    from nanochat_framework.errors import UsageError

    if arguments.price_per_hour is None:
        return None
    if not (arguments.measure or arguments.tokens_per_second or arguments.flops):
        raise UsageError("--price-per-hour: cost needs a speed: --measure, --tokens-per-second or --flops")
    return _number("--price-per-hour", arguments.price_per_hour)


def _number(option: str, text: str, *, largest: float = 1e15) -> float:
    """A positive number. Raises UsageError."""
    from nanochat_framework.errors import UsageError

    try:
        value = float(text.replace(",", "")) if text.isascii() else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value <= largest:
        raise UsageError(
            f"{option}: {text!r} is not a number above 0{f' and at most {largest:g}' if largest == 1 else ''}"
        )
    return value


def _batch_sizes(text: str | None) -> list[int]:
    from nanochat_framework.errors import UsageError
    from nanochat_framework.planning.memory import LARGEST_BATCH_SIZE

    if text is None:
        return []
    sizes = []
    for item in (item.strip() for item in text.split(",")):
        size = int(item) if item.isascii() and item.isdigit() and len(item) <= 8 else 0
        if not 1 <= size <= LARGEST_BATCH_SIZE:
            raise UsageError(
                f"--batch-sizes: {item!r} is not a number of sequences from 1 to {LARGEST_BATCH_SIZE}; write like 1,2,4"
            )
        sizes.append(size)
    return sizes
