"""The memory plan against measured peaks, and the measurements that tests hold the plan against.

    python benchmarks/memory_plan.py [--only WORD | --new | --again]

Each configuration trains for a few steps in a process of its own, on one CPU thread; measured is the largest resident set
above that of the idle process. `exact` is the same with every block of 128 kB or more in pages of its own
(`MALLOC_MMAP_THRESHOLD_`), which leaves no holes in the heap and takes longer. Writes tests/planning/fixtures/memory.json
and benchmarks/results/memory_plan.md; with --only it prints, with --new it measures
only what the fixture does not have, with --again it plans anew and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nanochat_framework.config.load import load_config
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.planning.measurement import Measurement, measure
from nanochat_framework.planning.memory import plan_memory
from nanochat_framework.plugins import load_plugins

ROOT = Path(__file__).resolve().parents[1]
FIXTURE = ROOT / "tests" / "planning" / "fixtures" / "memory.json"
TABLE = ROOT / "benchmarks" / "results" / "memory_plan.md"
ALWAYS = ('data.source={name="synthetic"}', 'hardware.device="cpu"', "hardware.threads=1")
BF16, DENSE, EIGHT = 'train.precision="bf16"', "quantizer=[]", "train.batch_size=8"
BLOCK, SELECTIVE = 'train.activation_checkpointing="block"', 'train.activation_checkpointing="selective"'
SHORT = ("data.seq_len=512", "train.gradient_accumulation=1", 'train.precision="fp32"')
EXPERTS = 'model.ffn={name="moe", n_experts=4, hidden_dim=512}'
STREAMS = 'model.residual={name="mhc", streams=2}'
DELTA = 'model.attention={name="deltanet", n_heads=4, head_dim=64}'
GATED = '{name="gqa", n_heads=4, n_kv_heads=2, head_dim=64, qk_norm=true, output_gate=true%s}'
HYBRID = f'model.attention={{name="hybrid", linear_ratio=0.5, full={GATED % ""}, linear={DELTA.partition("=")[2]}}}'
SHARED = 'model.ffn={name="moe", n_experts=8, hidden_dim=256, shared_hidden_dim=256, shared_gate=true}'
DYNAMIC = 'model.residual={name="mhc", streams=4, dynamic=true}'
LION = '{match="*", name="lion", lr=1e-3}'
CASES: dict[str, tuple[str, ...]] = {
    "tiny-cpu, 2 sequences": ("tiny-cpu", "train.batch_size=2"),
    "tiny-cpu, 16 sequences": ("tiny-cpu", "train.batch_size=16"),
    "tiny-cpu, bf16": ("tiny-cpu", EIGHT, BF16),
    "tiny-cpu, 4 x accumulation": ("tiny-cpu", EIGHT, "train.gradient_accumulation=4"),
    "tiny-cpu, dense": ("tiny-cpu", EIGHT, DENSE),
    "tiny-cpu, dense, untied, bf16": ("tiny-cpu", EIGHT, DENSE, BF16, "model.tie_embeddings=false"),
    "tiny-cpu, vocabulary of 32,768": ("tiny-cpu", EIGHT, "model.vocab_size=32768"),
    "tiny-cpu, blocks computed again": ("tiny-cpu", "train.batch_size=16", BLOCK),
    "tiny-cpu, bf16, selective": ("tiny-cpu", EIGHT, BF16, SELECTIVE),
    "tiny-cpu, experts": ("tiny-cpu", EIGHT, EXPERTS),
    "tiny-cpu, two streams": ("tiny-cpu", EIGHT, STREAMS),
    "tiny-cpu, delta net": ("tiny-cpu", "train.batch_size=4", DELTA),
    "d20, 2 sequences": ("d20", "train.batch_size=2"),
    "d20, bf16": ("d20", EIGHT, BF16),
    "d20, blocks computed again": ("d20", EIGHT, BLOCK),
    "ittybitty-38m, 1 sequence of 512": ("ittybitty-38m", "train.batch_size=1", *SHORT),
    "ittybitty-38m, 2 x accumulation": (
        "ittybitty-38m",
        "train.batch_size=2",
        "data.seq_len=1024",
        "train.gradient_accumulation=2",
    ),
    "ittybitty-38m, tied, vocabulary of 8,192": (
        "ittybitty-38m",
        "train.batch_size=4",
        *SHORT,
        "model.tie_embeddings=true",
        "model.vocab_size=8192",
    ),
    "tiny-cpu, gated window": ("tiny-cpu", EIGHT, f"model.attention={GATED % ', window=64'}"),
    "tiny-cpu, hybrid": ("tiny-cpu", "train.batch_size=4", HYBRID),
    "tiny-cpu, four dynamic streams": ("tiny-cpu", EIGHT, DYNAMIC),
    "tiny-cpu, experts and a shared one": ("tiny-cpu", EIGHT, SHARED),
    "tiny-cpu, four future tokens": ("tiny-cpu", EIGHT, 'objective=[{name="mtp"}]'),
    "tiny-cpu, four future tokens, tied": ("tiny-cpu", EIGHT, 'objective=[{name="mtp", heads="tied"}]'),
    "tiny-cpu, collider": ("tiny-cpu", EIGHT, 'token_filter={name="collider", threshold=0.3}'),
    "tiny-cpu, nanochat's parts": (
        "tiny-cpu",
        EIGHT,
        DENSE,
        "model.embedding_norm=true",
        "model.logit_softcap=15.0",
        'model.norm={name="rms", affine=false}',
        'model.ffn={name="relu2", hidden_dim=1024}',
    ),
    "d20, 8-bit optimizers": (
        "d20",
        "train.batch_size=2",
        'optimizer=[{match="matrix", name="muon_8bit", lr=0.02}, {match="*", name="lion_8bit", lr=1e-3}]',
    ),
    "d20, galore": (
        "d20",
        "train.batch_size=2",
        f'optimizer=[{{match="matrix", name="galore", lr=0.01, rank=64}}, {LION}]',
    ),
    "d20, hybrid with experts, four streams": ("d20", "train.batch_size=2", HYBRID, SHARED, DYNAMIC),
    "nano-125m-mhc, 1 sequence of 256": (
        "nano-125m-mhc",
        "train.batch_size=1",
        *SHORT,
        "data.seq_len=256",
        'optimizer.0.orthogonalize_in="fp32"',
    ),
}


def main() -> None:
    """Measure every case twice, hold the plan against it, write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose names hold this word; nothing is written")
    parser.add_argument(
        "--new", action="store_true", help="keep the measurements that are there, make those that are not"
    )
    parser.add_argument("--again", action="store_true", help="plan anew, with the measurements that are there")
    arguments = parser.parse_args()
    if arguments.again:
        found = json.loads(FIXTURE.read_text())
        _write(
            found["machine"], [{**case, **_planned(case["preset"], case["overrides"])[1]} for case in found["cases"]]
        )
        return
    known = {case["name"]: case for case in json.loads(FIXTURE.read_text())["cases"]} if arguments.new else {}
    names = [name for name in CASES if arguments.only in name]
    cases = [known.get(name) or _case(name, *CASES[name]) for name in names]
    if arguments.only:
        return
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "libc": os.confstr("CS_GNU_LIBC_VERSION") or "",
        "torch": version("torch"),
    }
    _write(machine, cases)


def _write(machine: dict[str, str], cases: list[dict[str, Any]]) -> None:
    FIXTURE.write_text(json.dumps({"machine": machine, "cases": cases}, indent=1) + "\n")
    TABLE.write_text(_page(machine, cases))


def _planned(preset: str, settings: Sequence[str]) -> tuple[RunConfig, dict[str, int]]:
    config = load_config(preset, registry=load_plugins().registry, overrides=list(settings)).config
    row = plan_memory(config).row(config.train.batch_size)
    return config, {"planned_bytes": row.training, "planned_without_holes_bytes": row.training - row.allocator}


def _case(name: str, preset: str, *overrides: str) -> dict[str, Any]:
    """Measured and planned bytes of one configuration."""
    settings = [*ALWAYS, *overrides]
    config, planned = _planned(preset, settings)
    measured = measure(config, 0)
    with _own_pages():
        exact = measure(config, 0)
    case = {
        "name": name,
        "preset": preset,
        "overrides": settings,
        **planned,
        "measured_bytes": measured.training_bytes,
        "exact_bytes": exact.training_bytes,
        "idle_bytes": measured.idle_bytes,
        "slower_exact": _ratio(exact, measured),
    }
    print(_line(case), flush=True)
    return case


@contextmanager
def _own_pages() -> Iterator[None]:
    """Child processes give each large block pages of its own."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "131072"
    try:
        yield
    finally:
        del os.environ["MALLOC_MMAP_THRESHOLD_"]


def _ratio(exact: Measurement, measured: Measurement) -> float:
    return round(exact.seconds_per_step / measured.seconds_per_step, 2)


def _line(case: dict[str, Any]) -> str:
    """A row of the table: what was planned, what was measured, the error, with holes and without."""
    cells = [case["name"]]
    for planned, measured in (("planned_bytes", "measured_bytes"), ("planned_without_holes_bytes", "exact_bytes")):
        error = 100 * (case[planned] / case[measured] - 1)
        cells += [f"{case[planned] / 1e6:,.0f}", f"{case[measured] / 1e6:,.0f}", f"{error:+.1f} %"]
    return "| " + " | ".join(cells) + " |"


def _page(machine: dict[str, str], cases: list[dict[str, Any]]) -> str:
    slower = sorted(case["slower_exact"] for case in cases)
    errors = [abs(case["planned_bytes"] / case["measured_bytes"] - 1) for case in cases]
    lines = [
        "# The memory plan against measured peaks",
        "",
        f"`python benchmarks/memory_plan.py` on {machine['system']}, {machine['libc']}, torch {machine['torch']}, one thread.",
        "Resident memory above the idle process in MB, 10^6 bytes. Exact: each block of 128 kB or more in pages of its own.",
        "",
        "| configuration | planned | measured | error | planned without holes | exact | error |",
        "|---|---|---|---|---|---|---|",
        *map(_line, cases),
        "",
        f"Largest error {100 * max(errors):.1f} %, mean {100 * sum(errors) / len(errors):.1f} %. A step with exact blocks took "
        f"{slower[len(slower) // 2]:.2f} times as long (median; the machine was shared, {slower[0]:.2f} to {slower[-1]:.2f}).",
        "What the holes are: docs/planning.md.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
