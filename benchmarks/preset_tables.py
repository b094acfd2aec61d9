"""The tables and command lines of docs/presets.md, and the README's table, from the presets themselves.

    python benchmarks/preset_tables.py

Rewrites what stands between the pages' markers. A test says when a page is out of date.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from nanochat_framework.config.load import load_config
from nanochat_framework.config.presets import find_config, preset_names
from nanochat_framework.config.rules import first_match
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model.description import (
    GatedFeedForward,
    MixtureOfExperts,
    Operation,
    PlainFeedForward,
    SoftmaxAttention,
)
from nanochat_framework.planning.plan import Plan, make_plan
from nanochat_framework.planning.sizes import format_count, format_size
from nanochat_framework.plugins import Registry, load_plugins

ROOT = Path(__file__).resolve().parents[1]
PAGE, README = ROOT / "docs" / "presets.md", ROOT / "README.md"
BEGIN, END = "<!-- begin: python benchmarks/preset_tables.py -->", "<!-- end -->"
SHORT = ("train.batch_size=2", "data.seq_len=256", "train.gradient_accumulation=1")
GPU = 'hardware.device="cuda"'
FP32, FP16, TERNARY_BLOCK, TERNARY_BYTES = 4, 2, 256, 66
"""Bytes of a number; numbers and bytes of a block of GGUF's TQ2_0."""


def generated(registry: Registry) -> str:
    """What stands between the markers."""
    names = sorted(preset_names(), key=lambda name: _plan(name, registry).parameters.total)
    tables = ["## Sizes", *_sizes(names, registry), "", "## Memory and disk", *_memory(names, registry)]
    sections = [section for name in names for section in ("", *_commands(name, registry))]
    return "\n".join([*tables, "", "## Command lines", *sections, ""])


@cache
def _plan(name: str, registry: Registry, *overrides: str) -> Plan:
    config = load_config(name, registry=registry, overrides=[GPU, *overrides]).config
    return make_plan(config, name=name)


def _sizes(names: list[str], registry: Registry) -> list[str]:
    rows = [(*shape(_plan(name, registry)), format_count(_plan(name, registry).tokens)) for name in names]
    return ["", *_table([*SHAPE, "tokens of a run"], rows)]


def readme_table(registry: Registry) -> str:
    """What stands between the README's markers."""
    plans = sorted((_plan(name, registry) for name in preset_names()), key=lambda plan: plan.parameters.total)
    return "\n".join(_table(SHAPE, [shape(plan) for plan in plans])) + "\n"


SHAPE = (
    "preset",
    "parameters",
    "layers x dim",
    "attention",
    "feed-forward",
    "streams",
    "vocabulary",
    "context",
    "weights",
)


def shape(plan: Plan) -> tuple[str, ...]:
    """A row of the table of sizes."""
    count, model = plan.parameters, plan.config.model.config
    description = model.describe()
    active = f", {format_count(count.active)} active" if count.active < count.total else ""
    return (
        f"`{plan.name}`",
        f"{count.total:,}{active}",
        f"{len(description.blocks)} x {description.dim}",
        _attention([block.mixer for block in description.blocks]),
        _feed_forward(description.blocks[0].ffn),
        str(description.residual.streams),
        f"{description.vocab_size:,}{', tied' if description.head is None else ''}",
        f"{description.max_seq_len:,}",
        "ternary" if plan.config.quantizer else "float",
    )


def _attention(mixers: list[Operation]) -> str:
    softmax = [mixer for mixer in mixers if isinstance(mixer, SoftmaxAttention)]
    heads = f"{softmax[0].n_heads} heads ({softmax[0].n_kv_heads} KV)"
    linear = len(mixers) - len(softmax)
    return f"{heads}; {linear} layers gated delta net" if linear else heads


def _feed_forward(ffn: Operation) -> str:
    if isinstance(ffn, MixtureOfExperts):
        shared = " + 1 shared" if ffn.shared else ""
        return f"{ffn.n_active} of {len(ffn.experts)} experts{shared}, {_feed_forward(ffn.experts[0])}"
    if isinstance(ffn, GatedFeedForward):
        return f"swiglu {ffn.up.weight.shape[0]}"
    assert isinstance(ffn, PlainFeedForward)
    return f"{ffn.activation} {ffn.up.weight.shape[0]}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _memory(names: list[str], registry: Registry) -> list[str]:
    lines = [
        "",
        'Planned for a GPU (`hardware.device="cuda"`); batch x sequence length, in the preset\'s precision. GGUF: without the',
        "tokenizer, with the embedding in 32 bits, and with `--option embedding_type=f16`.",
        "",
        "| preset | 2 x 256 | as configured | largest batch in 24 GB | a checkpoint | GGUF | GGUF, f16 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        short, plan = _plan(name, registry, *SHORT), _plan(name, registry)
        shape, largest = plan.memory.shape, plan.memory.largest_batch_size(24 * 10**9)
        lines.append(
            f"| `{name}` | {format_size(short.configured.total)} | {format_size(plan.configured.total)} ({shape.batch_size} x "
            f"{shape.seq_len}, {plan.config.train.precision}) | {largest or 'none'} | {format_size(plan.disk.checkpoint_bytes)} "
            f"| {format_size(gguf_bytes(plan, FP32))} | {format_size(gguf_bytes(plan, FP16))} |"
        )
    return lines


def gguf_bytes(plan: Plan, embedding: int) -> int:
    """Weights of a GGUF: ternary matrices in TQ2_0, others in float32, tables and heads `embedding` bytes a number."""
    config: RunConfig = plan.config
    total = 0
    for tensor in plan.inventory.model:
        spec = tensor.spec
        if first_match(config.quantizer, spec.name, spec.role) is not None:
            total += spec.size // TERNARY_BLOCK * TERNARY_BYTES
        else:
            total += spec.size * (embedding if spec.role in ("embedding", "head") else FP32)
    return total


def _commands(name: str, registry: Registry) -> list[str]:
    plan, file = _plan(name, registry), find_config(name).name
    batch, vocabulary = plan.memory.shape.batch_size, plan.config.model.config.vocab_size
    sizes = ",".join(str(size) for size in (1, 2, 4, 8)) if name != "ittybitty-38m" else "32,40,48,56"
    device = "cpu" if name == "tiny-cpu" else "cuda"
    return [
        f"### {name}",
        "",
        f"`configs/models/{file}`: {format_count(plan.parameters.total)} parameters, {plan.config.train.steps:,} "
        f"steps of {plan.tokens_per_step:,} tokens.",
        "",
        "```sh plan",
        f"nanochat prepare-data --text corpus.txt --vocab-size {vocabulary} --output data",
        f"nanochat plan {name} --memory 24GB --batch-sizes {sizes} --set 'hardware.device=\"{device}\"'",
        f"nanochat train {name} --run {name}",
        f"nanochat resume {name}",
        f"nanochat eval {name} --tasks bpb --data data",
        f"nanochat export {name} --to gguf --output {name}.gguf --check",
        f'nanochat generate {name}.gguf --prompt "Once upon a time" --max-tokens 100',
        "```",
        "",
        "The same training by the flags of the earlier system:",
        "",
        "```sh plan",
        f"nanochat train --config {name} --dataset tokens --data-path data/tokens.bin \\",
        f"    --batch-size {batch} --seq-len {plan.config.data.seq_len} --checkpoint-dir checkpoints/{name} \\",
        "    --log-interval 50 --checkpoint-interval 5000 --keep-last-checkpoints 5 \\",
        f"    --device {device}",
        f"nanochat train --config {name} --resume checkpoints/{name}",
        f"nanochat export --checkpoint checkpoints/{name}/checkpoints/final --gguf {name}.gguf",
        "```",
    ]


def main() -> None:
    """Rewrite both pages."""
    registry = load_plugins().registry
    for page, text in ((PAGE, generated(registry)), (README, readme_table(registry))):
        before, _, rest = page.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


if __name__ == "__main__":
    main()
