"""What a report tells, in its order: from a run's folder as data to a document."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanochat_framework import __version__
from nanochat_framework.config.diff import ABSENT
from nanochat_framework.report.costs import key_numbers, speed_and_cost
from nanochat_framework.report.curves import charts
from nanochat_framework.report.document import (
    Block,
    Charts,
    Code,
    Document,
    Folded,
    Sample,
    Section,
    Table,
    Text,
    table,
)
from nanochat_framework.report.figures import NOTHING, compact, duration, moment, size, whole
from nanochat_framework.report.gather import Gathered
from nanochat_framework.report.held_out import SourceFacts
from nanochat_framework.runs.jsonlines import Record

_STATES = {
    "queued": "It has not begun.",
    "starting": "It is starting.",
    "running": "It is still training: what follows is how it stands now.",
    "paused": "It is paused: what follows is how it stands now.",
    "stopping": "It is about to stop.",
    "stopped": "It was stopped before its last step.",
    "released": "It was paused and has let its device go.",
    "finished": "",
    "lost": "Its process is gone and did not say why: the machine went down, or somebody ended it.",
    "failed": "It failed.",
    "unknown": "It has no readable status.",
}
_RESUMABLE = ("stopped", "released", "lost", "failed")


def tell(
    found: Gathered, *, price_per_hour: float | None, baselines: Mapping[str, float], baseline_bytes: int, now: float
) -> Document:
    """The document of a run; `price_per_hour` in any currency, `now` in seconds since 1970."""
    sections = [
        Section("At a glance", (key_numbers(found, price_per_hour, baselines),)),
        _curves(found, baselines),
        _scores(found, baselines, baseline_bytes),
        _samples(found),
        _model_and_data(found),
        speed_and_cost(found, price_per_hour),
        _happened(found),
        _configuration(found),
        _parts(found),
        _again(found),
    ]
    made = f"Made {moment(now)} by nanochat-framework {__version__} from {found.run.name}."
    return Document(
        title=found.summary.name,
        state=found.summary.state,
        lead=_lead(found, now),
        made=made,
        sections=tuple(section for section in sections if section.blocks),
    )


def _lead(found: Gathered, now: float) -> str:
    summary, model = found.summary, found.config.get("model", {})
    parts = []
    count = f"{compact(found.parameters)}-parameter " if found.parameters else ""
    kind = model.get("name", "model") if isinstance(model, dict) else "model"
    article = "An" if count.startswith("8") or (not count and str(kind)[:1] in "aeiou") else "A"
    of = f" of {whole(summary.total_steps)}" if summary.total_steps else ""
    if summary.step:
        trained = f"{summary.step:,}{of} steps and {compact(summary.tokens)} tokens, in {duration(found.seconds)}"
        parts.append(f"{article} {count}{kind} trained for {trained}.")
    else:
        parts.append(f"{article} {count}{kind} that has not finished a step yet.")
    parts.append(_STATES.get(summary.state, ""))
    if summary.state in ("running", "paused") and summary.heartbeat:
        parts.append(f"Last sign of life {duration(max(now - summary.heartbeat, 0))} ago.")
    if summary.error:
        parts.append(f"It said: {summary.error}")
    if summary.state in _RESUMABLE:
        parts.append(f"To go on from its newest checkpoint: nanochat resume {found.run.path}")
    return " ".join(part for part in parts if part)


def _model_and_data(found: Gathered) -> Section:
    model = found.config.get("model")
    rows = [
        ("run", found.summary.title),
        ("begun", moment(found.summary.created) if found.summary.created else NOTHING),
    ]
    if found.summary.parent:
        rows.append(("forked from", found.summary.parent))
    if found.summary.tags:
        rows.append(("tags", ", ".join(found.summary.tags)))
    if found.parameters:
        rows.append(("parameters", f"{found.parameters:,}"))
    for key, value in model.items() if isinstance(model, dict) else ():
        rows.append((f"model.{key}", _short(value)))
    quantizers = found.config.get("quantizer") or []
    rows += [(f"quantizer, {q.get('match')}", _short(q, without="match")) for q in quantizers if isinstance(q, dict)]
    optimizers = found.config.get("optimizer") or []
    rows += [(f"optimizer, {o.get('match')}", _short(o, without="match")) for o in optimizers if isinstance(o, dict)]
    blocks: list[Block] = [table(("what", "value"), rows)]
    if found.data:
        blocks.append(_data(found.data))
    if any(source.missing for source in found.data):
        blocks.append(
            Text("The data is no longer where the run found it, so its size and checksum are not known here.")
        )
    return Section("Model and data", tuple(blocks))


def _short(value: Any, without: str = "") -> str:
    """A table of the configuration in one line: its name, then its settings."""
    if isinstance(value, dict):
        settings = [f"{key} {_short(item)}" for key, item in value.items() if key not in ("name", without)]
        return "; ".join([str(value["name"]), *settings] if "name" in value else settings)
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _data(sources: Sequence[SourceFacts]) -> Table:
    rows = []
    for source in sources:
        for side, facts in (("training", source.train), ("held-out", source.validation)):
            if facts or side == "training":
                counts = [_count(facts, key) for key in ("tokens", "documents", "bytes")]
                rows.append((source.label, side, *counts, str(facts.get("sha256", NOTHING))[:16]))
    return table(("source", "side", "tokens", "documents", "bytes of text", "sha256"), rows, numbers=(2, 3, 4))


def _count(facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    return whole(value) if isinstance(value, int) else NOTHING


def _curves(found: Gathered, baselines: Mapping[str, float]) -> Section:
    drawn = charts(found.records, dict(baselines))
    if not drawn:
        return Section("Curves", (Text("Nothing was logged yet, so there is nothing to draw."),))
    marks = tuple(float(attempt.rewound_to) for attempt in found.attempts if attempt.rewound_to)
    blocks: list[Block] = [Charts(tuple(drawn), marks)]
    if not found.values("eval/loss"):
        blocks.append(
            Text("The run has not been evaluated on held-out text, so nothing shows how well it generalises.")
        )
    return Section("Curves", tuple(blocks))


def _scores(found: Gathered, baselines: Mapping[str, float], baseline_bytes: int) -> Section:
    names = (("eval/loss", "loss, nats per token"), ("eval/perplexity", "perplexity"))
    rows = []
    for metric, label in (*names, ("eval/bits_per_byte", "bits per byte")):
        points = found.values(metric)
        if points:
            best = min(points, key=lambda point: point[1])
            first, last = points[0], points[-1]
            digits = 1 if metric == "eval/perplexity" else 3
            cells = [f"{value:,.{digits}f} (step {step:,})" for step, value in (first, best, last)]
            rows.append((label, *cells))
    if not rows:
        return Section("Held-out scores", ())
    blocks: list[Block] = [table(("score", "first", "best", "last"), rows, numbers=(1, 2, 3))]
    bits = found.newest("eval/bits_per_byte")
    if baselines and bits is not None:
        ranked = sorted([("this model", bits), *baselines.items()], key=lambda pair: pair[1])
        compared = [(name, f"{value:.3f}", f"{8 / value:.2f}") for name, value in ranked]
        blocks.append(table(("compressor", "bits per byte", "times smaller"), compared, numbers=(1, 2)))
        blocks.append(Text(f"The compressors were given {size(baseline_bytes)} of the held-out text in one piece."))
    return Section("Held-out scores", tuple(blocks))


def _samples(found: Gathered) -> Section:
    steps = sorted({sample["step"] for sample in found.samples})
    if not steps:
        return Section("Samples", ())
    blocks: list[Block] = [_sample(sample) for sample in found.samples if sample["step"] == steps[-1]]
    earlier = steps[:-1]
    shown = earlier if len(earlier) <= 6 else [earlier[n * (len(earlier) - 1) // 5] for n in range(6)]
    before = [_sample(sample) for step in shown for sample in found.samples if sample["step"] == step]
    if before:
        blocks.append(Folded("What it wrote earlier", tuple(before)))
    return Section("Samples", tuple(blocks))


def _sample(sample: Record) -> Sample:
    reason = {"length": ", cut at its length", "stop": ""}.get(str(sample.get("finish_reason")), "")
    return Sample(str(sample.get("prompt", "")), str(sample.get("text", "")), f"after step {sample['step']:,}{reason}")


def _happened(found: Gathered) -> Section:
    blocks: list[Block] = []
    alerts = [event for event in found.events if event.get("kind") == "alert"]
    if alerts:
        told = [(moment(a["time"]), _step(a), str(a.get("alert", "")), str(a.get("message", ""))) for a in alerts]
        blocks.append(table(("when", "step", "alert", "what it said"), told, numbers=(1,)))
    rows = [(moment(e["time"]), _step(e), _kind(e), _detail(e)) for e in found.events if _is_told(e)]
    counts = Counter(str(event.get("kind")) for event in found.events)
    quiet = {
        "checkpoint": "checkpoints",
        "evaluation": "evaluations",
        "sampled": "samplings",
        "skipped_step": "skipped steps",
    }
    summed = ", ".join(f"{counts[kind]} {name}" for kind, name in quiet.items() if counts[kind])
    if len(rows) > 40:
        rows = [*rows[:20], ("…", "", "", f"{len(rows) - 40} more, in events.jsonl"), *rows[-20:]]
    blocks.append(table(("when", "step", "event", "details"), rows, numbers=(1,)))
    blocks.append(Text(f"{'No alerts' if not alerts else f'{len(alerts)} alerts'}; {summed or 'no checkpoint yet'}."))
    return Section("What happened", tuple(blocks) if rows or alerts else ())


def _is_told(event: Record) -> bool:
    if event.get("kind") == "acknowledged":
        return event.get("answer") in ("done", "refused", "failed")
    return event.get("kind") not in ("checkpoint", "evaluation", "sampled", "skipped_step", "alert")


def _kind(event: Record) -> str:
    if event.get("kind") == "acknowledged":
        return f"{event.get('command')}, {event.get('answer')}"
    return str(event.get("kind")).replace("_", " ")


def _step(event: Record) -> str:
    step = event.get("step", event.get("rewound_to"))
    return whole(step) if isinstance(step, int) else ""


def _detail(event: Record) -> str:
    known = ("time", "attempt", "kind", "step", "id", "command", "answer", "by")
    facts = {key: value for key, value in event.items() if key not in known}
    if "rewound_to" in facts:
        step = facts.pop("rewound_to")
        facts["attempt"] = f"{event.get('attempt')}{f', going on after step {step:,}' if step else ''}"
    return "; ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in facts.items())


def _configuration(found: Gathered) -> Section:
    blocks: list[Block] = []
    if found.preset and found.changes:
        rows = [(each.key, _value(each.before), _value(each.after)) for each in found.changes]
        blocks += [
            Text(f"What differs from the preset {found.preset} as it is now:"),
            table(("key", found.preset, "this run"), rows),
        ]
    elif found.preset:
        blocks.append(Text(f"It is the preset {found.preset} as it is now."))
    overrides = found.info.get("overrides")
    if isinstance(overrides, list) and overrides:
        blocks.append(Code("\n".join(f"--set {override}" for override in overrides), title="Given on the command line"))
    for name, source in found.sources:
        blocks.append(Folded(name, (Code(source, "toml"),)))
    if found.config:
        resolved = json.dumps(found.config, indent=2)
        blocks.append(Folded("Resolved, with every default", (Code(resolved, "json"),), on_paper=False))
    return Section("Configuration", tuple(blocks))


def _value(value: Any) -> str:
    return NOTHING if value is ABSENT else _short(value)


def _parts(found: Gathered) -> Section:
    keys = ("kind", "name", "plugin", "distribution", "version")
    rows = [tuple(str(row.get(key, "")) for key in keys) for row in found.components]
    return Section("Parts", (table(keys, rows),) if rows else ())


def _again(found: Gathered) -> Section:
    """The command as it was given, and what must be the same for the same numbers."""
    rows = []
    train = found.config.get("train")
    if isinstance(train, dict) and "seed" in train:
        rows.append(("seed", str(train["seed"])))
    for source in found.data:
        if source.train.get("sha256"):
            rows.append((f"sha256 of {source.path}", str(source.train["sha256"])))
    labels = {
        "config_sha256": "sha256 of the resolved configuration",
        "framework": "nanochat-framework",
        "python": "Python",
        "platform": "platform",
        "host": "host",
    }
    rows += [(label, str(found.info[key])) for key, label in labels.items() if found.info.get(key)]
    argv = found.info.get("argv")
    command = Code(_command(argv), "sh") if isinstance(argv, list) and argv else None
    blocks: list[Block] = [command] if command else []
    if rows:
        blocks.append(table(("what", "value"), rows))
    blocks.append(
        Text("On the same machine, with the same data and versions, this gives the same losses to the last bit.")
    )
    return Section("How to do it again", tuple(blocks))


def _command(argv: Sequence[Any]) -> str:
    """The command line; the program by its name instead of where it lay."""
    program, *rest = (str(word) for word in argv)
    name = "nanochat" if Path(program).name in ("nanochat", "__main__.py") else program
    return shlex.join([name, *rest])
