"""The memory of a plan as text: a table by batch size, the items of one row, and what fits."""

from __future__ import annotations

from collections.abc import Sequence

from nanochat_framework.planning.memory import BACKWARD, FORWARD, LOSS, UPDATE, MemoryRow
from nanochat_framework.planning.plan import Plan
from nanochat_framework.planning.sizes import format_budget, format_size

_TEMPORARIES = {
    FORWARD: "rounding of the widest input",
    LOSS: "a chunk of logits with its gradients",
    BACKWARD: "gradients of the last layer and norm",
    UPDATE: "the hungriest optimizer's workspace",
}
_KEPT = {
    "none": "kept from the forward to the backward pass",
    "block": "each layer's input; one layer at a time is computed again",
    "selective": "each layer's input, matrix products and attention; the rest is computed again",
}


def memory_tables(plan: Plan) -> list[str]:
    """Sections: the table by batch size, the configured row item by item, remarks."""
    return [_by_batch_size(plan), _items(plan), *_remarks(plan)]


def _by_batch_size(plan: Plan) -> str:
    memory, config = plan.memory, plan.config
    header = ["batch", "model", "optimizer", "activations", "overhead", "peak", "at"]
    if plan.budget is not None:
        header += ["headroom", f"fits {format_budget(plan.budget)}"]
    title = (
        f"memory by batch size (sequences of {memory.shape.seq_len} tokens, {config.train.precision}, "
        f"{memory.shape.gradient_accumulation} x accumulation, {memory.device})"
    )
    rows = [tuple(header), *(_line(plan, row) for row in plan.rows)]
    notes = (
        "* as configured. model: weights, average, copies and gradients at the peak. activations: with temporaries and data.",
        "overhead: the idle process, its libraries, and what the allocator holds beside live tensors.",
    )
    return "\n".join((title, table(rows), *notes))


def _line(plan: Plan, row: MemoryRow) -> tuple[str, ...]:
    total = format_size(row.total) if row.complete else f">{format_size(row.total)}"
    line = [
        f"{row.batch_size}{'*' if row.batch_size == plan.memory.shape.batch_size else ''}",
        format_size(row.weights + row.average + row.copies + row.gradients),
        "unknown" if row.state is None else format_size(row.state),
        format_size(row.activations + row.temporaries + row.data),
        format_size(row.allocator + row.libraries + row.runtime),
        total,
        row.phase,
    ]
    if plan.budget is not None:
        fits, left = plan.fits(row), plan.budget - row.total
        line += [
            f"{'-' if left < 0 else ''}{format_size(abs(left))}",
            {True: "yes", False: "no", None: "unknown"}[fits],
        ]
    return tuple(line)


def _items(plan: Plan) -> str:
    """Every item of the configured micro-batch, with what it is."""
    row, train = plan.configured, plan.config.train
    groups = [
        f"{group.optimizer} ({group.match}) {'unknown' if group.state is None else format_size(group.state)}"
        for group in plan.memory.groups
    ]
    what = {
        "weights": "fp32 masters",
        "average": "of the weights, fp32",
        "copies": "weights as products use them: rounded, or in 16 bits",
        "gradients": "those that exist at the peak",
        "optimizer": ", ".join(groups),
        "activations": _KEPT[train.activation_checkpointing],
        "temporaries": _TEMPORARIES[row.phase],
        "data": "token batches, with the next one in flight" if plan.memory.device == "cpu" else "a token batch",
        "allocator": "blocks and holes that are not alive",
        "libraries": "code and workspaces that computing takes",
        "runtime": "the idle process" if plan.memory.device == "cpu" else "the device's context",
    }
    items = [(name, format_size(size), what[name]) for name, size in row.items().items() if size or name != "average"]
    lines = [f"  {name.ljust(11)}  {size.rjust(8)}  {text}" for name, size, text in items]
    title = f"items with a batch of {row.batch_size}, at the peak ({row.phase})"
    return "\n".join((title, *lines, *_measured(plan, row)))


def _measured(plan: Plan, row: MemoryRow) -> list[str]:
    """The plan against the peak of the steps that were run, above the idle process."""
    measured = plan.measurement
    if measured is None:
        return []
    error = 100 * (row.training / measured.training_bytes - 1)
    return [
        f"measured: {format_size(measured.training_bytes)} above the idle process of {format_size(measured.idle_bytes)}; "
        f"planned {format_size(row.training)} ({error:+.1f} %)"
    ]


def _remarks(plan: Plan) -> list[str]:
    remarks = []
    if plan.budget is not None:
        remarks.append(_largest(plan, plan.budget))
    silent = [group.optimizer for group in plan.memory.groups if group.state is None]
    if silent:
        remarks.append(
            f"unknown: the state of {', '.join(dict.fromkeys(silent))}, which does not say how much it keeps"
        )
    if plan.memory.models_read:
        models = ", ".join(plan.memory.models_read)
        remarks.append(
            f"not counted: {models}, which an objective keeps in memory beside the model; --measure counts it"
        )
    return remarks


def _largest(plan: Plan, budget: int) -> str:
    largest = plan.largest_batch_size
    if largest is None:
        return f"largest batch size in {format_budget(budget)}: unknown"
    if largest == 0:
        shortest = plan.memory.row(1)
        return f"nothing fits in {format_budget(budget)}: one sequence needs {format_size(shortest.total)}"
    return f"largest batch size in {format_budget(budget)}: {largest}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
