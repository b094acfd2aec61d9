"""What watching and steering runs costs: listing many, long metrics files, and a training's look for requests.

    python -m benchmarks.run_directories

CPU seconds (user and system), the best of several; `runs ls` as a process of its own beside a bare interpreter.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nanochat_framework.runs.control import ControlInbox, Request, send
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.follow import MetricsFollower
from nanochat_framework.runs.jsonlines import LineTail, encode
from nanochat_framework.runs.last_values import last_values
from nanochat_framework.runs.metrics import read_metrics
from nanochat_framework.runs.status import StatusFile
from nanochat_framework.runs.summary import summaries

LINES = 1_000_000


def made(runs: Path, name: str) -> RunDirectory:
    """A run's folder as a training leaves it, without metrics."""
    resolved = {"train": {"steps": LINES}}
    run = RunDirectory.create(
        runs, name, sources=[("a.toml", b"")], resolved=resolved, components_lock=[], overrides=[], argv=[]
    )
    newest = {"train/loss": 3.2, "eval/bits_per_byte": 1.1, "train/tokens_per_second": 51234.0}
    StatusFile(run.status).update(state="finished", step=LINES, total_steps=LINES, metrics=newest)
    return run


def fill(run: RunDirectory) -> None:
    """A million records, one evaluation at the very beginning."""
    run.events.write_bytes(encode({"time": 0.0, "attempt": 1, "kind": "started", "rewound_to": 0}))
    with run.metrics.open("wb") as file:
        file.write(encode({"attempt": 1, "step": 1, "time": 0.0, "tokens": 1, "eval/loss": 3.0}))
        for step in range(1, LINES + 1):
            record: dict[str, Any] = {"attempt": 1, "step": step, "time": 1763733000.123 + step, "tokens": 1024 * step}
            values = {
                "train/loss": 3.2187 + 1 / step,
                "train/grad_norm": 0.71 + 1 / step,
                "train/learning_rate/muon": 0.02,
            }
            file.write(encode({**record, **values, "train/tokens_per_second": 51234.5}))


def cpu(action: Callable[[], Any], times: int = 5) -> float:
    """CPU seconds of the fastest of several calls."""
    best = float("inf")
    for _ in range(times):
        before = time.process_time()
        action()
        best = min(best, time.process_time() - before)
    return best


def child_cpu(*command: str) -> float:
    """CPU seconds of a process, the fastest of seven."""
    best = float("inf")
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def follow(run: RunDirectory) -> None:
    """Take the whole of a run's metrics in, as a dashboard that is opened does."""
    follower = MetricsFollower(run)
    while follower.poll().more:
        pass


def main() -> None:
    """Measure and print a table."""
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        bare = child_cpu(sys.executable, "-c", "pass")
        rows.append(("bare interpreter", f"{1e3 * bare:.0f} ms"))
        for count in (20, 200):
            runs = Path(folder) / str(count)
            for number in range(count):
                made(runs, f"run-{number:03d}")
            ls = child_cpu(sys.executable, "-m", "nanochat_framework", "runs", "ls", "--runs-dir", str(runs))
            rows.append((f"`nanochat runs ls`, {count} runs, over a bare interpreter", f"{1e3 * (ls - bare):.0f} ms"))
            rows.append((f"`summaries`, {count} runs", f"{1e3 * cpu(lambda runs=runs: summaries(runs)):.1f} ms"))
        run = made(Path(folder), "long")
        fill(run)
        size = run.metrics.stat().st_size / 1e6
        rows.append(
            (
                f"`last_values`, {LINES:,} records ({size:.0f} MB), evaluation at their beginning",
                f"{cpu(lambda: last_values(run.metrics)):.2f} s",
            )
        )
        rows.append(("`MetricsFollower`, all of them", f"{cpu(lambda: follow(run), 2):.1f} s"))
        rows.append(("`read_metrics`, all of them", f"{cpu(lambda: read_metrics(run.metrics), 1):.1f} s"))
        tail = LineTail(run.metrics)
        rows.append(("`LineTail.skip` to their end", f"{1e6 * cpu(tail.skip):.0f} µs"))
        rows.append(("a poll without news", f"{1e6 * cpu(lambda: [tail.lines() for _ in range(1000)]) / 1000:.0f} µs"))
        send(run, Request("eval"))
        inbox = ControlInbox(run.control)
        rows.append(
            (
                "a training's look for requests, a step",
                f"{1e6 * cpu(lambda: [inbox.poll() for _ in range(10_000)]) / 10_000:.1f} µs",
            )
        )
    print("| what | CPU time |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
