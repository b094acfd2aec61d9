"""A plan as text."""

from __future__ import annotations

from nanochat_framework.planning.memory_report import memory_tables, table
from nanochat_framework.planning.parameters import ParameterCount, Part
from nanochat_framework.planning.plan import Plan
from nanochat_framework.planning.sizes import format_count, format_duration, format_size


def as_text(plan: Plan) -> str:
    """Tables of parameters and memory, with a few sentences on operations, length, time and disk between them."""
    sections = [_parameters(plan), _work(plan), *memory_tables(plan), *_estimated(plan)]
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
    if count.active < count.total:
        rows.append(("active for a token", f"{count.active:,}", f"{100 * count.active / count.total:.1f} %"))
    rows += [(f"objective {name}, apart", f"{size:,}", "") for name, size in count.objectives.items()]
    return f"{plan.name}: {format_count(count.total)} parameters\n\n" + table(rows)


def _line(name: str, part: Part, count: ParameterCount) -> tuple[str, str, str]:
    return name, f"{part.parameters:,}", f"{100 * count.share(part):.1f} %"


def _work(plan: Plan) -> str:
    flops, train = plan.flops, plan.config.train
    work = (
        f"FLOPs per token in training: {format_count(flops.training)} (3 x forward, causal attention); with full "
        f"attention {format_count(flops.training_full_attention)}; rule 6N {format_count(flops.training_6n)}"
    )
    length = (
        f"run: {train.steps:,} steps of {_tokens_per_step(plan)} tokens = {format_count(plan.tokens)} tokens, "
        f"{plan.tokens / plan.parameters.total:.1f} a parameter, {plan.training_flops:.2e} FLOPs"
    )
    return "\n".join((work, length, *_phases(plan), *_time(plan), _disk(plan)))


def _disk(plan: Plan) -> str:
    files = plan.disk
    state = "" if plan.memory.state is not None else " and the optimizer's unknown state"
    return (
        f"disk: {format_size(files.tokens_bytes)} of tokens, each seen once; {format_size(files.checkpoint_bytes)}{state} a "
        f"checkpoint, {files.kept} kept: {format_size(files.checkpoints_bytes)}, {format_size(files.most_bytes)} while one "
        f"is written (best and final are hard links)"
    )


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


def _time(plan: Plan) -> list[str]:
    """Time and cost, where a speed was stated or measured."""
    found = plan.duration
    if found is None:
        return []
    parts = [
        f"time: {format_duration(found.seconds)} at {format_count(found.speed.tokens_per_second)} tokens a second "
        f"({found.speed.source})"
    ]
    if found.evaluation_seconds:
        parts.append(f"{format_duration(found.evaluation_seconds)} of it evaluation")
    if found.cost is not None:
        parts.append(f"cost {found.cost:,.2f} at {found.price_per_hour:g} an hour")
    return ["; ".join(parts)]


def _estimated(plan: Plan) -> list[str]:
    if not plan.flops.estimated:
        return []
    return [
        f"estimated: {', '.join(plan.flops.estimated)}, which does not describe what it computes: parameters are "
        f"exact, FLOPs and activations guessed from the shapes of its matrices"
    ]
