"""`nanochat plan`: what a configuration costs, before anything is allocated."""

from __future__ import annotations

import argparse

HELP = "parameters, FLOPs and memory of a configuration, before it runs"

EXAMPLES = """\
examples:
  nanochat plan nano-125m
  nanochat plan nano-125m --memory 24GB --batch-sizes 1,8,32
  nanochat plan my.toml --set model.n_layers=24 --json

Nothing is allocated, and torch is imported only for components that do not describe themselves. GB is 10^9 bytes, GiB
2^30.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("config", help="path of a TOML file, or the name of a preset")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="change one key (repeatable)"
    )
    parser.add_argument("--memory", metavar="SIZE", help="memory of the device, like 24GB; says what fits")
    parser.add_argument(
        "--batch-sizes", metavar="N,N", help="micro-batches to plan for (default: around the configured)"
    )
    parser.add_argument("--json", action="store_true", help="the plan as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Validate, plan, print."""
    import sys

    from nanochat_framework.cli.common import load_host, print_json
    from nanochat_framework.config.load import load_config
    from nanochat_framework.errors import UsageError
    from nanochat_framework.planning.plan import make_plan
    from nanochat_framework.planning.report import as_text

    memory = _memory(arguments.memory)
    sizes = _batch_sizes(arguments.batch_sizes)
    loaded = load_config(arguments.config, registry=load_host().registry, overrides=arguments.overrides)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if loaded.config.train.steps is None:
        raise UsageError("train.max_hours leaves the number of steps open; plan with --set train.steps=N")
    plan = make_plan(loaded.config, name=arguments.config, batch_sizes=sizes, memory_bytes=memory)
    if arguments.json:
        print_json(plan.to_dict())
    else:
        print(as_text(plan))
    return 0


def _memory(text: str | None) -> int | None:
    from nanochat_framework.errors import UsageError
    from nanochat_framework.planning.sizes import parse_size

    if text is None:
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"--memory: {error}") from None


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
