"""A plan as text."""

from __future__ import annotations

from collections.abc import Sequence

from nanochat_framework.planning.memory import MemoryRow
from nanochat_framework.planning.parameters import ParameterCount, Part
from nanochat_framework.planning.plan import Plan
from nanochat_framework.planning.sizes import format_count, format_size

_EXPLAINED = (
    "* as configured. weights: fp32 masters. copies: weights as products use them (rounded, or bf16). temporaries: one",
    "chunk of logits, or the backward pass's, or the optimizer's, at the peak. allocator: what it holds beside live",
    "tensors. runtime: the process before any tensor.",
)


def as_text(plan: Plan) -> str:
    """Tables of parameters and memory, with a few sentences on operations, length and disk between them."""
    sections = [_parameters(plan), _work(plan), _memory(plan), *_remarks(plan)]
    return "\n\n".join(sections)


def _parameters(plan: Plan) -> str:
    count = plan.parameters
    tied = plan.inventory.description is not None and plan.inventory.description.head is None
    rows = [("part", "parameters", "share")]
    for part in count.parts:
        name = f"{part.name} (and head)" if tied and part.name == "embedding" else part.name
        rows.append(_line(name, part, count))
        rows += [_line(f"  {inner.name}", inner, count) for inner in part.parts]
    rows.append(("total", f"{count.total:,}", ""))
    rows += [(f"objective {name}, apart", f"{size:,}", "") for name, size in count.objectives.items()]
    return f"{plan.name}: {format_count(count.total)} parameters\n\n" + _table(rows)


def _line(name: str, part: Part, count: ParameterCount) -> tuple[str, str, str]:
    return name, f"{part.parameters:,}", f"{100 * count.share(part):.1f} %"


def _work(plan: Plan) -> str:
    flops, train, each = plan.flops, plan.config.train, plan.checkpoint_bytes
    state = "" if plan.memory.state is not None else " and the optimizer's unknown state"
    work = (
        f"FLOPs per token in training: {format_count(flops.training)} (3 x forward, causal attention); with full "
        f"attention {format_count(flops.training_full_attention)}; rule 6N {format_count(flops.training_6n)}"
    )
    length = (
        f"run: {train.steps:,} steps of {_tokens_per_step(plan)} tokens = {format_count(plan.tokens)} tokens, "
        f"{plan.tokens / plan.parameters.total:.1f} a parameter, {plan.training_flops:.2e} FLOPs"
    )
    disk = (
        f"disk: {format_size(each)}{state} a checkpoint; at most {plan.checkpoints_kept} are kept: "
        f"{format_size(each * plan.checkpoints_kept)}"
    )
    return "\n".join((work, length, *_phases(plan), disk))


def _tokens_per_step(plan: Plan) -> str:
    sizes = sorted({phase.tokens_per_step for phase in plan.phases})
    return f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"


def _phases(plan: Plan) -> list[str]:
    """A line for each phase of training, where there are several."""
    if len(plan.phases) == 1:
        return []
    return [
        f"phase {number}: steps {phase.first_step + 1:,} to {phase.end_step:,}, {phase.rows_per_step} sequences of "
        f"{phase.seq_len} tokens"
        for number, phase in enumerate(plan.phases)
    ]


def _memory(plan: Plan) -> str:
    config, memory = plan.config, plan.memory
    names = list(plan.rows[0].items())
    header = ["batch", *names, "total", "peak at"]
    if plan.budget is not None:
        header.append(f"fits {_budget(plan.budget)}")
    title = (
        f"memory by batch size (sequences of {memory.shape.seq_len} tokens, {config.train.precision}, "
        f"{memory.shape.gradient_accumulation} x accumulation, {memory.device})"
    )
    rows = [tuple(header), *(_memory_line(plan, row) for row in plan.rows)]
    return "\n".join((title, _table(rows), *_EXPLAINED))


def _memory_line(plan: Plan, row: MemoryRow) -> tuple[str, ...]:
    cells = [format_size(value) for value in row.items().values()]
    if row.state is None:
        cells[list(row.items()).index("optimizer")] = "unknown"
    mark = "*" if row.batch_size == plan.memory.shape.batch_size else ""
    total = format_size(row.total) if row.complete else f">{format_size(row.total)}"
    line = [f"{row.batch_size}{mark}", *cells, total, row.phase]
    if plan.budget is not None:
        fits = plan.fits(row)
        line.append("unknown" if fits is None else "yes" if fits else "no")
    return tuple(line)


def _remarks(plan: Plan) -> list[str]:
    remarks = []
    if plan.budget is not None:
        remarks.append(_largest(plan, plan.budget))
    silent = [group.optimizer for group in plan.memory.groups if group.state is None]
    if silent:
        remarks.append(
            f"unknown: the state of {', '.join(dict.fromkeys(silent))}, which does not say how much it keeps"
        )
    if plan.flops.estimated:
        remarks.append(
            f"estimated: {', '.join(plan.flops.estimated)}, which does not describe what it computes: parameters are "
            f"exact, FLOPs and activations guessed from the shapes of its matrices"
        )
    return remarks


def _largest(plan: Plan, budget: int) -> str:
    largest = plan.largest_batch_size
    if largest is None:
        return f"largest batch size in {_budget(budget)}: unknown"
    if largest == 0:
        shortest = plan.memory.row(1)
        return f"nothing fits in {_budget(budget)}: one sequence needs {format_size(shortest.total)}"
    return f"largest batch size in {_budget(budget)}: {largest}"


def _budget(budget: int) -> str:
    return f"{budget / 1e9:g} GB"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
