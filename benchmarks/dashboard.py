"""What drawing a loss curve costs: our chart beside textual-plotext and textual-plot, and the dashboard's first paint.

    pip install textual-plotext textual-plot       (both optional; what is missing is left out)
    python benchmarks/dashboard.py [--rounds 9]
    python benchmarks/dashboard.py --only screen   (first paint; four charts of 100,000 points at 4 Hz; idle; memory)
    python benchmarks/dashboard.py --only compare  (seven runs over each other)
    python benchmarks/dashboard.py --only watched --data data   (a CPU training, watched and not in turns of 6 s)

A redraw is what follows when one point was added: the new point is handed to the widget and every row of it is rendered,
headless, 160 x 45 cells. Times are CPU time of the process, medians over rounds in which all take turns. The others
are measured twice: with every point, as their documentation does it, and with the points thinned to the least and the
greatest of each of 320 columns first (what the thinning costs is counted).
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import importlib.util
import math
import os
import pty
import random
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from textual.app import App, ComposeResult
from textual.widget import Widget

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.metrics import MetricsLog, read_metrics
from nanochat_framework.runs.status import LIVE_STATES, StatusFile, liveness, read_status
from nanochat_tui.charts.curve import Curve
from nanochat_tui.charts.series import Series
from nanochat_tui.charts.view import View
from nanochat_tui.charts.widget import Chart

WIDTH, HEIGHT, COLUMNS = 160, 45, 320
SIZES = (10_000, 100_000)


def loss(step: int, noise: random.Random) -> float:
    """A loss curve with noise and now and then a spike."""
    return 2.5 + 8 * math.exp(-step / 4000) + noise.gauss(0, 0.08) + (3.0 if noise.random() < 1e-4 else 0.0)


def thinned(xs: list[float], ys: list[float]) -> tuple[list[float], list[float]]:
    """Least and greatest of each column, in their order."""
    kept_x, kept_y = [], []
    share = len(ys) / COLUMNS
    for column in range(COLUMNS):
        part = range(int(column * share), max(int((column + 1) * share), int(column * share) + 1))
        for index in sorted({min(part, key=ys.__getitem__), max(part, key=ys.__getitem__)}):
            kept_x.append(xs[index])
            kept_y.append(ys[index])
    return kept_x, kept_y


class Ours:
    """Our chart; with `smoothing` it draws two lines."""

    def __init__(self, points: list[float], smoothing: float) -> None:
        self.series = Series()
        for step, value in enumerate(points):
            self.series.put(step, step, step, value)
        self.widget = Chart("loss", [Curve(self.series, "train")], View(smoothing=smoothing))

    def add(self, value: float) -> None:
        """One more point."""
        step = len(self.series)
        self.series.put(step, step, step, value)
        self.widget.update()


class Theirs:
    """A chart of another package."""

    def __init__(
        self, points: list[float], thin: bool, make: Callable[[], Any], plot: Callable[[Any, Any, Any], None]
    ) -> None:
        self.xs, self.ys, self.thin, self.plot = [float(x) for x in range(len(points))], list(points), thin, plot
        self.widget = make()

    def add(self, value: float) -> None:
        """One more point."""
        self.xs.append(float(len(self.xs)))
        self.ys.append(value)
        xs, ys = thinned(self.xs, self.ys) if self.thin else (self.xs, self.ys)
        self.plot(self.widget, xs, ys)


def plotext(points: list[float], thin: bool) -> Theirs:
    """textual-plotext, braille."""
    from textual_plotext import PlotextPlot

    def plot(widget: Any, xs: list[float], ys: list[float]) -> None:
        widget.plt.clear_data()
        widget.plt.plot(xs, ys, marker="braille")
        widget.refresh()

    return Theirs(points, thin, PlotextPlot, plot)


def textual_plot(points: list[float], thin: bool) -> Theirs:
    """textual-plot, braille."""
    from textual_plot import HiResMode, PlotWidget

    def plot(widget: Any, xs: list[float], ys: list[float]) -> None:
        widget.clear()
        widget.plot(xs, ys, hires_mode=HiResMode.BRAILLE)

    return Theirs(points, thin, PlotWidget, plot)


def candidates(points: list[float]) -> dict[str, Any]:
    """Those that are installed."""
    found: dict[str, Any] = {
        "ours": Ours(points, 0.0),
        "ours, raw and smoothed": Ours(points, 0.97),
    }
    for package, make in (("textual_plotext", plotext), ("textual_plot", textual_plot)):
        if importlib.util.find_spec(package):
            found[f"{package.replace('_', '-')}, every point"] = make(points, False)
            found[f"{package.replace('_', '-')}, thinned"] = make(points, True)
    return found


async def redraw_times(widget: Widget, add: Callable[[float], None], rounds: int) -> list[float]:
    """CPU milliseconds of each redraw."""

    class Stage(App[None]):
        CSS = "Screen { overflow: hidden; }"

        def compose(self) -> ComposeResult:
            yield widget

    noise, times = random.Random(1), []
    app = Stage()
    async with app.run_test(size=(WIDTH, HEIGHT)) as pilot:
        add(2.5)
        await pilot.pause()
        for _ in range(rounds):
            started = process_time()
            add(loss(10**6, noise))
            await asyncio.sleep(0)
            widget.refresh()
            await pilot.pause()
            for y in range(widget.size.height):
                widget.render_line(y)
            times.append(1000 * (process_time() - started))
    return times


def make_run(runs_dir: Path, name: str, *, n_records: int = 0) -> RunDirectory:
    """A run as a training leaves it."""
    config = {"train": {"steps": n_records or 1000}}
    given: dict[str, Any] = {
        "sources": [("x.toml", b"")],
        "resolved": config,
        "components_lock": [],
        "overrides": [],
        "argv": [],
    }
    run = RunDirectory.create(runs_dir, name, **given)
    StatusFile(run.status).update(
        state="finished", step=500, total_steps=1000, tokens=10**6, metrics={"train/loss": 2.5}
    )
    if n_records:
        noise, log = random.Random(2), MetricsLog(run.metrics, 1)
        for step in range(1, n_records + 1):
            log.write(step=step, tokens=step, values=record(step, noise))
        log.close()
    return run


def record(step: int, noise: random.Random) -> dict[str, float]:
    """Four metrics, each with a chart."""
    names = ("train/loss", "train/grad_norm", "train/tokens_per_second", "train/learning_rate/all")
    return dict.fromkeys(names, loss(step, noise))


class Terminal:
    """`nanochat tui` on a terminal of its own, 120 x 40; `cpu` is what its process took so far, in seconds."""

    def __init__(self, *arguments: str) -> None:
        self._home = tempfile.TemporaryDirectory()  # the user's settings and layout are not measured
        self.started = perf_counter()
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
            environment |= dict.fromkeys(("XDG_STATE_HOME", "XDG_CONFIG_HOME"), self._home.name)
            os.execve(sys.executable, [sys.executable, "-m", "nanochat_framework", "tui", *arguments], environment)
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.seen = b""

    def read(self, seconds: float, until: bytes = b"\0") -> float:
        """Read what it draws for some seconds, or until a text came; the seconds since its start."""
        deadline = perf_counter() + seconds
        while perf_counter() < deadline and until not in self.seen:
            if select.select([self._descriptor], [], [], 0.05)[0]:
                self.seen += os.read(self._descriptor, 1 << 16)
        return perf_counter() - self.started

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._descriptor, keys)

    @property
    def cpu(self) -> float:
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_memory(self) -> float:
        """The largest resident set so far, in MB."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6

    def close(self) -> None:
        self.press(b"q")
        self.read(5.0, until=b"\x1b[?1049l")
        os.close(self._descriptor)
        os.waitpid(self.pid, 0)
        self._home.cleanup()


def screens(rounds: int, seconds: float) -> None:
    """First paint, live and idle."""
    with tempfile.TemporaryDirectory() as folder:
        many = Path(folder, "many")
        for number in range(200):
            make_run(many, f"run-{number:04d}")
        walls, cpus = [], []
        for _ in range(rounds):
            terminal = Terminal("--runs-dir", str(many))
            walls.append(terminal.read(30.0, until=b"run-0"))
            cpus.append(terminal.cpu)
            terminal.close()
        print(f"| first paint, 200 runs | {statistics.median(walls):.2f} s, {statistics.median(cpus):.2f} s of CPU |")
        million(Path(folder, "million"), rounds)
        big = make_run(Path(folder, "big"), "big", n_records=100_000)
        terminal = Terminal(str(big.path))
        terminal.read(60.0, until=b"gradient")
        terminal.read(20.0)  # the rest of the file
        before = terminal.cpu
        terminal.read(seconds)
        print(f"| idle, one run of 100,000 records open | {100 * (terminal.cpu - before) / seconds:.2f} % of a core |")
        noise, log, before, drawn = random.Random(3), MetricsLog(big.metrics, 1), terminal.cpu, len(terminal.seen)
        for number in range(int(4 * seconds)):
            log.write(step=100_001 + number, tokens=100_001 + number, values=record(100_001, noise))
            terminal.read(0.25)
        log.close()
        load = 100 * (terminal.cpu - before) / seconds
        print(
            f"| four charts of 100,000 points, a new record at 4 Hz | {load:.1f} % of a core, "
            f"{(len(terminal.seen) - drawn) / seconds / 1024:.0f} KiB/s to the terminal |"
        )
        print(f"| the same, peak memory | {terminal.peak_memory:.0f} MB |")
        terminal.close()


def comparison(n_records: int, seconds: float) -> None:
    """Seven runs over each other: reading them, idle, and with one that grows."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [make_run(Path(folder), f"run-{number}", n_records=n_records) for number in range(7)]
        terminal = Terminal("--runs-dir", folder)
        terminal.read(30.0, until=b"run-6")
        terminal.read(2.0)
        terminal.press(b" " * 7)
        terminal.read(2.0)
        before = terminal.cpu
        terminal.press(b"C")
        terminal.read(30.0, until=b"gradient")
        busy = 1.0
        while busy > 0.4:  # it still reads
            last = terminal.cpu
            terminal.read(5.0)
            busy = terminal.cpu - last
        print(
            f"| seven runs of {n_records:,} records compared: read and drawn | {terminal.cpu - before:.1f} s of CPU |"
        )
        before = terminal.cpu
        terminal.read(seconds)
        print(f"| idle | {100 * (terminal.cpu - before) / seconds:.1f} % of a core |")
        noise, log, before = random.Random(3), MetricsLog(runs[0].metrics, 1), terminal.cpu
        for number in range(1, int(4 * seconds) + 1):
            log.write(step=n_records + number, tokens=n_records + number, values=record(n_records, noise))
            terminal.read(0.25)
        log.close()
        print(f"| one of them grows, a record at 4 Hz | {100 * (terminal.cpu - before) / seconds:.1f} % of a core |")
        terminal.press(b"\x1b")
        terminal.read(1.0)
        terminal.close()


def million(folder: Path, rounds: int) -> None:
    """First paint of a folder of 200 runs, one of them with a million records, and of that run's charts."""
    for number in range(199):
        make_run(folder, f"run-{number:04d}")
    run = make_run(folder, "million", n_records=1_000_000)
    for name, arguments, wanted in (
        ("200 runs, one of a million records", ["--runs-dir", str(folder)], b"run-0"),
        ("charts of a run of a million records", [str(run.path)], b"gradient norm"),
    ):
        walls, cpus = [], []
        for _ in range(rounds):
            terminal = Terminal(*arguments)
            walls.append(terminal.read(60.0, until=wanted))
            cpus.append(terminal.cpu)
            terminal.close()
        print(f"| first paint, {name} | {statistics.median(walls):.2f} s, {statistics.median(cpus):.2f} s of CPU |")
    terminal = Terminal(str(run.path))
    terminal.read(60.0, until=b"gradient norm")
    while (before := terminal.cpu) >= 0 and terminal.read(2.0) and terminal.cpu - before > 0.5:
        pass  # it reads on in the background
    print(f"| a run of a million records, all read: peak memory | {terminal.peak_memory:.0f} MB |")
    terminal.close()


def watched(data: Path, turns: int, seconds: float) -> None:
    """How much longer the steps of a CPU training take while a dashboard shows its charts.

    The dashboard is open all the time, and halted (SIGSTOP) in every other turn. Steps are timed by the records that the
    training writes; a turn's step is the median, and of neighbouring turns with and without the ratio is taken.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["train", "tiny-cpu", "--runs-dir", folder, "--run", "watched", "--detach"]
        settings = ["train.steps=1000000", "train.log_every=1", f"data.source.path={data.absolute() / 'tokens.bin'}"]
        words = [word for setting in settings for word in ("--set", setting)]
        command = [sys.executable, "-m", "nanochat_framework", *arguments, *words]
        subprocess.run(command, check=True, cwd=data.parent, capture_output=True)
        run = RunDirectory(Path(folder, "watched"))
        try:
            while (status := read_status(run.status)) is None or status.step < 20:
                time.sleep(1.0)
            terminal = Terminal(str(run.path))
            terminal.read(10.0)
            spans = []
            for number in range(2 * turns):
                on = number % 2 == 0
                os.kill(terminal.pid, signal.SIGCONT if on else signal.SIGSTOP)
                began = time.time()
                terminal.read(seconds) if on else time.sleep(seconds)
                spans.append((began, time.time()))
            os.kill(terminal.pid, signal.SIGCONT)
            terminal.close()
            steps = [step_seconds(run, *span) for span in spans]
            ratios = [100 * (on / off - 1) for on, off in zip(steps[::2], steps[1::2], strict=True)]
            low, high = interval(ratios)
            print(
                f"| steps of a CPU training ({statistics.median(steps[1::2]):.2f} s each) while it is watched | "
                f"{statistics.median(ratios):+.1f} % ({low:+.1f} to {high:+.1f}, 95 %; {turns} turns of {seconds:g} s) |"
            )
        finally:
            found = read_status(run.status)
            if found is not None and found.pid:
                os.kill(found.pid, signal.SIGTERM)
            while liveness(read_status(run.status)) in LIVE_STATES:  # it writes a checkpoint first
                time.sleep(0.5)


def step_seconds(run: RunDirectory, began: float, ended: float) -> float:
    """The median step of those that lie within a stretch of time."""
    times = [record["time"] for record in read_metrics(run.metrics)]
    return statistics.median(b - a for a, b in pairwise(times) if began <= a and b <= ended)


def interval(values: list[float]) -> tuple[float, float]:
    """Where the median is, with 95 % confidence: by drawing from the values again and again."""
    noise = random.Random(0)
    medians = sorted(statistics.median(noise.choices(values, k=len(values))) for _ in range(2000))
    return medians[50], medians[-51]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=("charts", "screen", "compare", "watched"))
    parser.add_argument("--data", type=Path, help="for --only watched: a folder that `nanochat prepare-data` made")
    arguments = parser.parse_args()
    if arguments.only == "watched":
        if arguments.data is None:
            parser.error("--only watched needs --data")
        watched(arguments.data, 4 * arguments.rounds, 6.0)
    if arguments.only in (None, "charts"):
        charts(arguments.rounds)
    if arguments.only in (None, "screen"):
        screens(min(arguments.rounds, 3), 10.0)
    if arguments.only in (None, "compare"):
        comparison(20_000, 10.0)


def charts(rounds: int) -> None:
    """One redraw, ours and others'."""
    noise = random.Random(0)
    print(
        f"| redraw after one new point, {WIDTH} x {HEIGHT} cells | " + " | ".join(f"{n:,} points" for n in SIZES) + " |"
    )
    print("|---|" + "---|" * len(SIZES))
    rows: dict[str, list[str]] = {}
    for size in SIZES:
        points = [loss(step, noise) for step in range(size)]
        names = list(candidates(points))
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, candidate in candidates(points).items():
                times[name] += asyncio.run(redraw_times(candidate.widget, candidate.add, 2))[1:]
        for name in names:
            rows.setdefault(name, []).append(f"{statistics.median(times[name]):.1f} ms")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
