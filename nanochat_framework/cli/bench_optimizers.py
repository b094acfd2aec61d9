"""`nanochat bench optimizers`: one small model trained by each optimizer to the same tokens.

Matrices are under the optimizer that a row names; all else is as in the configuration.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanochat_framework.benchmarks.optimizer_table import Row
    from nanochat_framework.benchmarks.optimizers import Setting
    from nanochat_framework.config.run_config import RunConfig
    from nanochat_framework.plugins import Component, Registry
    from nanochat_framework.runs.jsonlines import Record

HELP = "bits per byte, state and step time of each optimizer"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--optimizers", metavar="A,B", help="optimizers to compare, the first is the reference of times (all there are)"
    )
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="steps of each run (200)")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="runs of each optimizer, seeds 0 to N-1 (2)")
    parser.add_argument(
        "--no-search",
        action="store_true",
        help="take learning rates as they are, instead of searching on the first seed",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="data folder (default: a text that is on every machine, prepared)"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="what to train: a TOML file or a preset (0.7M parameters, dense)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME.KEY=VALUE",
        dest="own",
        help="change one setting of one optimizer (repeatable)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="keep each run as a line here, and go on from them")
    parser.add_argument("--json", action="store_true", help="rows and runs as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Do the missing runs, print the table."""
    from nanochat_framework.benchmarks.optimizer_table import rows
    from nanochat_framework.benchmarks.optimizers import CONFIG, Results, Setting, run_benchmark
    from nanochat_framework.cli.common import load_host
    from nanochat_framework.cli.progress import Progress
    from nanochat_framework.config.load import load_config
    from nanochat_framework.errors import UsageError

    for option in ("steps", "seeds"):
        if getattr(arguments, option) < 1:
            raise UsageError(f"--{option} {getattr(arguments, option)}: at least 1 is needed")
    registry = load_host().registry
    target = arguments.config or CONFIG
    config = load_config(target, registry=registry, overrides=[f"train.steps={arguments.steps}"]).config
    if not config.optimizer:
        raise UsageError(f"{target}: has no [[optimizer]] table to exchange")
    named = _named(arguments.optimizers, registry)
    search = not arguments.no_search
    with _data(arguments.data, registry, config) as data, _kept(arguments.output) as (lines, keep):
        setting = Setting(target, registry, data, arguments.steps, _own(arguments.own, named or _all(registry, config)))
        optimizers = named or list(_usable(setting, _all(registry, config)))
        results, seeds = Results(setting, lines, keep), range(arguments.seeds)
        progress = lambda label, total: Progress(label, total, "steps")  # noqa: E731
        run_benchmark(results, optimizers, seeds, search=search, progress=progress)
        _show(rows(results, optimizers, seeds, search=search), config, as_json=arguments.json)
    return 0


def _named(given: str | None, registry: Registry) -> list[str]:
    """The optimizers of `--optimizers`. Raises UsageError for one that is not there."""
    from nanochat_framework.errors import UsageError
    from nanochat_framework.plugins.settings import named

    names = list(dict.fromkeys(name.strip() for name in (given or "").split(",") if name.strip()))
    if given is not None and not names:
        raise UsageError("--optimizers: names at least one")
    return [named(registry, "optimizer", name, "--optimizers").name for name in names]


def _all(registry: Registry, config: RunConfig) -> list[str]:
    """Every optimizer there is, the configuration's own first."""
    return list(dict.fromkeys([config.optimizer[0].component.name, *registry.names("optimizer")]))


def _own(given: Sequence[str], optimizers: Sequence[str]) -> dict[str, list[str]]:
    """`--set NAME.KEY=VALUE` by name. Raises UsageError for a name that is not compared."""
    from nanochat_framework.errors import UsageError

    own: dict[str, list[str]] = {}
    for text in given:
        name, dot, setting = text.partition(".")
        if not dot or name not in optimizers:
            raise UsageError(f"--set {text}: begins with none of the optimizers ({', '.join(optimizers)}) and a dot")
        own.setdefault(name, []).append(setting)
    return own


def _usable(setting: Setting, optimizers: Sequence[str]) -> Iterator[str]:
    """Those that can be built here; the others are named on stderr, with the reason.

    Raises UsageError for one that a person has given settings.
    """
    from nanochat_framework.benchmarks.optimizers import check
    from nanochat_framework.errors import UsageError

    for name in optimizers:
        try:
            check(setting, name)
        except UsageError as error:
            if name in setting.own:
                raise
            print(f"left out: {name}: {error}", file=sys.stderr)
        else:
            yield name


@contextmanager
def _data(given: Path | None, registry: Registry, config: RunConfig) -> Iterator[Path]:
    """The named data folder, or one that is prepared for the time being."""
    from tempfile import TemporaryDirectory

    from nanochat_framework.cli.progress import Progress
    from nanochat_framework.data.prepare import PrepareSettings, prepare
    from nanochat_framework.data.token_store import read_data_json
    from nanochat_framework.errors import UsageError
    from nanochat_framework.machine.cpu import usable_cores

    if given is not None:
        if read_data_json(given) is None:
            raise UsageError(f"--data {given}: has no data.json; name a folder that `nanochat prepare-data` wrote")
        yield given
        return
    source = _text_at_hand(registry)
    with TemporaryDirectory(prefix="nanochat-bench-") as folder:
        settings = PrepareSettings(
            output=Path(folder) / "data",
            vocab_size=config.model.config.vocab_size,
            validation_fraction=0.05,
            seed=0,
            threads=usable_cores(),
        )
        progress = lambda label, total: Progress(label, total, "MB", scale=1e-6)  # noqa: E731
        prepare(source.load_factory()(source.config_class()()), settings, progress)
        yield settings.output


def _text_at_hand(registry: Registry) -> Component:
    """A source that has text on every machine. Raises UsageError where no plugin brings one."""
    from nanochat_framework.errors import UsageError

    sources = [each for each in registry.components("source") if each.traits.get("on_every_machine")]
    if not sources:
        raise UsageError("--data: no plugin here brings a text; name a folder that `nanochat prepare-data` wrote")
    return sources[0]


@contextmanager
def _kept(output: Path | None) -> Iterator[tuple[list[Record], Callable[[Record], None]]]:
    """The runs that a file holds, and where to put new ones."""
    from nanochat_framework.runs.jsonlines import JsonLinesReader, JsonLinesWriter

    if output is None:
        yield [], lambda line: None
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    lines = list(JsonLinesReader(output))
    writer = JsonLinesWriter(output, sync=True)
    try:
        yield lines, writer.write
    finally:
        writer.close()


def _show(table: Sequence[Row], config: RunConfig, *, as_json: bool) -> None:
    """Print the rows."""
    from dataclasses import asdict

    from nanochat_framework.cli.common import print_json, print_table
    from nanochat_framework.runs.jsonlines import plain

    if as_json:
        print_json(plain([asdict(row) for row in table]))
        return
    header = ("optimizer", "lr", "runs", "bits per byte", "std. error", "state bytes/parameter", "step time")
    print_table(header, [_cells(row) for row in table])
    exchanged, *others = config.optimizer
    rest = ", ".join(f"{rule.match!r} under {rule.component.name}" for rule in others)
    print(
        f"{config.train.steps} steps; parameters that match {exchanged.match!r} are under the optimizer of the row, the rest "
        f"as configured ({rest or 'none'}); step times are relative to {table[0].optimizer}",
        file=sys.stderr,
    )


def _cells(row: Row) -> tuple[str, ...]:
    error, ratio = row.standard_error, row.step_time_ratio
    return (
        row.optimizer,
        "-" if row.lr is None else f"{row.lr:.3g}{' (widest)' if row.widest else ''}",
        str(row.runs),
        f"{row.bits_per_byte:.4f}",
        "-" if error is None else f"{error:.4f}",
        f"{row.state_bytes_per_parameter:.2f}",
        "-" if ratio is None else f"{ratio:.2f}x",
    )
