"""`nanochat export`: write a trained model in a file format."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanochat_framework.cli.common import load_host
from nanochat_framework.cli.open_model import add_weights_option, open_model

if TYPE_CHECKING:
    from nanochat_framework.contracts.exporter import Exporter, ExportReport, ModelBundle
    from nanochat_framework.inference.comparison import Comparison
    from nanochat_framework.inference.rounding_cost import CostRow
    from nanochat_framework.plugins import Registry

HELP = "write a model in a file format such as GGUF"

EXAMPLES = """\
examples:
  nanochat export first --to gguf --output first.gguf --check
  nanochat export runs/first/checkpoints/final --to gguf --output first.gguf --ternary-type tq1_0 --head-type q6_k
  nanochat export first --to gguf --output first.gguf --option architecture=llama    (fails if it is not exact)

MODEL is a run, a checkpoint folder, or a .gguf file. --check reads the file back, compares codes, scales and logits, and
where held-out text is known, gives the bits per byte of the model as trained and of the file.
`nanochat components show exporter gguf` lists the options. --checkpoint DIR --gguf FILE is the older form.
"""


SHORTHANDS = {
    "--type": ("type", "storage of float matrices"),
    "--ternary-type": ("ternary_type", "storage of ternary weights"),
    "--embedding-type": ("embedding_type", "storage of the embedding"),
    "--head-type": ("head_type", "storage of the output head"),
}
"""Options of exporters that have a flag of their own."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("model", nargs="?", help="a run, a checkpoint folder, or a file such as model.gguf")
    parser.add_argument("--to", metavar="FORMAT", help="an exporter (`nanochat components list exporter`)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="file to write")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="a setting of the exporter (repeatable)"
    )
    for option, (name, what) in SHORTHANDS.items():
        parser.add_argument(option, metavar="TYPE", help=f"{what}; same as --option {name}=TYPE")
    parser.add_argument("--check", action="store_true", help="read the file back and compare it with the model")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="data folder for bits per byte with --check (default: the trained one)"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    add_weights_option(parser)
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs live (default ./runs)")
    parser.add_argument("--checkpoint", metavar="DIR", help="same as MODEL")
    parser.add_argument("--gguf", type=Path, metavar="FILE", help="same as --to gguf --output FILE")
    parser.add_argument(
        "--mhc", type=Path, metavar="FILE", help="write the mHC weights there as well, as --to mhc does"
    )


def run(arguments: argparse.Namespace) -> int:
    """Read the model, write the file, compare if asked."""
    from nanochat_framework.cli.progress import Progress, stage
    from nanochat_framework.errors import NanochatError, UsageError
    from nanochat_framework.kernels.table import KernelTable, activate

    target, format_name, output = _what(arguments)
    if arguments.data is not None and not arguments.check:
        raise UsageError("--data is for --check, which measures bits per byte; give both")
    if arguments.mhc is not None and arguments.mhc.absolute() == output.absolute():
        raise UsageError(f"--mhc {arguments.mhc}: is the file that the model is written to; name another one")
    registry = load_host().registry
    activate(KernelTable(registry))
    exporter = _exporter(format_name, [*_shorthands(arguments), *arguments.option], registry)
    exporter.progress = lambda label, total: Progress(label, total, "MB", scale=1e-6)
    if arguments.check:
        _refuse_unreadable(format_name, output, registry)
    stage(f"reading {target}")
    bundle = open_model(target, arguments, registry)
    mixing = None
    if arguments.mhc is not None:  # first, so that a model without such weights is refused before anything is written
        mixing = _exporter("mhc", [], registry).export(bundle, arguments.mhc)
    stage(f"writing {output}")
    report = exporter.export(bundle, output)
    check = _read_back(exporter, bundle, report, registry, arguments.data) if arguments.check else None
    print((_as_json if arguments.json else _as_text)(report, check, mixing))
    if check is not None and not check.comparison.as_asked:
        raise NanochatError(f"{output}: what is read back is not the model that was written; do not use this file")
    return 0


def _what(arguments: argparse.Namespace) -> tuple[str, str, Path]:
    """The model, the exporter's name and the file, from either form of the command."""
    from nanochat_framework.errors import UsageError

    if (arguments.model is None) == (arguments.checkpoint is None):
        raise UsageError(
            "name one model: nanochat export MODEL --to gguf --output FILE (or --checkpoint DIR --gguf FILE)"
        )
    if arguments.gguf is not None:
        if arguments.output is not None or arguments.to not in (None, "gguf"):
            raise UsageError("--gguf FILE stands for --to gguf --output FILE; give one or the other")
        return arguments.model or arguments.checkpoint, "gguf", arguments.gguf
    if arguments.to is None or arguments.output is None:
        raise UsageError("say what to write: --to gguf --output FILE")
    return arguments.model or arguments.checkpoint, arguments.to, arguments.output


def _shorthands(arguments: argparse.Namespace) -> list[str]:
    given = {name: getattr(arguments, option[2:].replace("-", "_")) for option, (name, _) in SHORTHANDS.items()}
    return [f"{name}={value}" for name, value in given.items() if value is not None]


def _exporter(name: str, options: list[str], registry: Registry) -> Exporter:
    from nanochat_framework.cli.options import read_options
    from nanochat_framework.contracts.exporter import Exporter
    from nanochat_framework.plugins.settings import configured, named

    component = named(registry, "exporter", name, "--to")
    exporter = component.load_factory()(configured(component, read_options(options)))
    assert isinstance(exporter, Exporter)
    return exporter


def _refuse_unreadable(exporter: str, output: Path, registry: Registry) -> None:
    """Raise UsageError where nothing would read back what --check is to compare."""
    from nanochat_framework.errors import UsageError
    from nanochat_framework.inference.bundle import reader_of

    reader = reader_of(exporter, registry)
    if reader is None:
        known = ", ".join(name for name in registry.names("exporter") if reader_of(name, registry) is not None)
        raise UsageError(
            f"--check: nothing reads back what {exporter} writes (read back are: {known or 'none'}); leave it out"
        )
    suffixes = reader.traits["suffixes"]
    if suffixes and not reader.traits["markers"] and output.suffix.lower() not in suffixes:
        raise UsageError(
            f"--check: {output}: {exporter} reads back only files named *{' or *'.join(suffixes)}; name it so"
        )


@dataclass(frozen=True)
class _Check:
    """What was read back. `left_out`: difference of logits between the trained model and what the format holds of it.

    `others` are lines on what other programs read, `costs` what rounding costs, empty where no held-out text is known.
    """

    comparison: Comparison
    left_out: float
    others: tuple[str, ...]
    costs: list[CostRow]


def _read_back(
    exporter: Exporter, bundle: ModelBundle, report: ExportReport, registry: Registry, data: Path | None
) -> _Check:
    from nanochat_framework.cli.progress import stage
    from nanochat_framework.inference.bundle import bundle_from
    from nanochat_framework.inference.comparison import compare, logit_difference

    stage("reading it back, comparing every tensor")
    written, read_back = exporter.as_written(bundle), bundle_from(report.path, registry)
    left_out = 0.0 if written is bundle else logit_difference(bundle, written)
    comparison = compare(written, read_back, report.rounded)
    others = exporter.check(read_back, report.path)
    return _Check(comparison, left_out, others, _costs(bundle, read_back, report, data))


def _costs(bundle: ModelBundle, read_back: ModelBundle, report: ExportReport, data: Path | None) -> list[CostRow]:
    """On the named data folder, or the one that the model was trained on if it is still there."""
    import sys

    from nanochat_framework.cli.progress import Progress
    from nanochat_framework.inference.rounding_cost import HELD_OUT, rounding_costs

    known = bundle.metadata.get("data_dir")
    folder = data or (Path(known) if known and (Path(known) / HELD_OUT).is_file() else None)
    if folder is None or bundle.tokenizer is None:
        why = (
            "no held-out text is known (name a data folder with --data)" if bundle.tokenizer else "it has no tokenizer"
        )
        print(f"bits per byte are not measured: {why}", file=sys.stderr)
        return []
    return rounding_costs(bundle, read_back, report, folder, lambda label, total: Progress(label, total, "forms"))


def _as_text(report: ExportReport, check: _Check | None, mixing: ExportReport | None) -> str:
    lines = [
        line for each in (mixing, report) if each for line in (str(each.path), *(f"  {line}" for line in each.lines))
    ]
    if check is not None:
        lines += ["read back:", *(f"  {line}" for line in (*check.comparison.lines(), *check.others))]
        if check.left_out:
            lines.append(
                f"  the trained model's logits differ from the file's by at most {check.left_out:.1e} of their range"
            )
        lines += _cost_table(check.costs)
    return "\n".join(lines)


def _cost_table(costs: list[CostRow]) -> list[str]:
    if not costs:
        return []
    width = max(len(row.form) for row in costs)
    first = costs[0].bits_per_byte
    rows = [
        f"  {row.form:<{width}}  {row.n_bytes:>14,}  {row.bits_per_byte:.4f} ({row.bits_per_byte - first:+.4f})"
        for row in costs
    ]
    return [f"  {'bits per byte':<{width}}  {'bytes of file':>14}  held-out text", *rows]


def _as_json(report: ExportReport, check: _Check | None, mixing: ExportReport | None) -> str:
    import json
    from dataclasses import asdict

    record: dict[str, Any] = _facts(report) if mixing is None else {**_facts(report), "mhc": _facts(mixing)}
    if check is not None:
        facts: dict[str, Any] = {"left_out": check.left_out, "others": list(check.others)}
        facts["costs"] = [asdict(row) for row in check.costs]
        record["check"] = {"exact": check.comparison.exact, **asdict(check.comparison), **facts}
    return json.dumps(record)


def _facts(report: ExportReport) -> dict[str, Any]:
    return {"path": str(report.path), "bytes": report.n_bytes, "lines": list(report.lines)}
