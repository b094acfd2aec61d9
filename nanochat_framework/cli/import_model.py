"""`nanochat import`: take in a model that another program wrote."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanochat_framework.contracts.exporter import ModelBundle
    from nanochat_framework.plugins import Registry

HELP = "take in a model that another program wrote, to train it further"

EXAMPLES = """\
examples:
  nanochat import llama.gguf --output llama
  nanochat import qwen3.gguf --output qwen --max-seq-len 4096
  nanochat eval llama --tasks bpb --data data
  nanochat train tune.toml --run tuned      (tune.toml: extends = "llama/model.toml", [data], [[optimizer]], ...)

OUTPUT becomes a checkpoint folder with float32 weights. Its model.toml has the [model] table and train.init_from, for a
configuration to extend. eval, generate and export also read the file itself.
`nanochat components list importer` shows what can be read.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("model", help="a file (or folder) of another program, or a model of ours")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write; must not exist")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="a setting of the importer (repeatable)"
    )
    parser.add_argument(
        "--max-seq-len", type=int, metavar="N", help="longest sequence in tokens, in place of the file's (shorter)"
    )
    parser.add_argument("--json", action="store_true", help="what was written, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Read with the importer of the format, write a checkpoint."""
    import sys

    from nanochat_framework.cli.common import load_host, print_json
    from nanochat_framework.cli.options import read_options
    from nanochat_framework.inference.bundle import bundle_from
    from nanochat_framework.training.imported_checkpoint import write_imported

    registry = load_host().registry
    bundle = bundle_from(arguments.model, registry, options=read_options(arguments.option))
    if arguments.max_seq_len is not None:
        bundle = _shortened(bundle, arguments.max_seq_len, registry)
    names = write_imported(bundle, arguments.output)
    lines = _lines(bundle)
    if arguments.json:
        print_json({"path": str(arguments.output), "files": names, "lines": lines})
    else:
        print("\n".join([str(arguments.output), *(f"  {line}" for line in lines)]))
    if bundle.quantizers:
        print("its quantizers are not kept: quantising these weights anew would change them", file=sys.stderr)
    return 0


def _shortened(bundle: ModelBundle, max_seq_len: int, registry: Registry) -> ModelBundle:
    from nanochat_framework.errors import UsageError
    from nanochat_framework.inference.tables import select_model

    longest = bundle.description.max_seq_len
    if not 0 < max_seq_len <= longest:
        raise UsageError(f"--max-seq-len {max_seq_len}: the model's own is {longest}; give 1 to {longest}")
    model = select_model({**bundle.model.to_dict(), "max_seq_len": max_seq_len}, "--max-seq-len", registry)
    return replace(bundle, model=model, description=model.config.describe())


def _lines(bundle: ModelBundle) -> list[str]:
    from math import prod

    from nanochat_framework.model.quantized import QuantizedWeight

    weights = sum(prod(tensor.shape) for tensor in bundle.tensors.values())
    n_coded = sum(isinstance(tensor, QuantizedWeight) for tensor in bundle.tensors.values())
    description = bundle.description
    found = [
        f"{weights:,} parameters, {len(description.blocks)} layers, up to {description.max_seq_len} tokens",
        f"{len(bundle.tensors)} tensors as float32"
        + (f", {n_coded} of them stored as codes before" if n_coded else ""),
    ]
    if bundle.tokenizer is None:
        reason = bundle.metadata.get("without_tokenizer", "the file has none")
        return [*found, f"no tokenizer: {reason}"]
    return [*found, f"tokenizer of {bundle.tokenizer.vocab_size:,} tokens"]
