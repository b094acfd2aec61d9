"""Following metrics gives at every moment what reading them gives; tail readers through whatever happens to a file."""

from __future__ import annotations

import math
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import EventLog, begin_attempt
from nanochat_framework.runs.follow import MetricsFollower
from nanochat_framework.runs.jsonlines import JsonLinesWriter, TailReader, decode, encode, heal
from nanochat_framework.runs.metrics import MetricsLog, read_metrics
from nanochat_framework.runs.status import Status, heartbeat_age, liveness


class Watcher:
    """Keeps what a dashboard would keep."""

    def __init__(self, run: RunDirectory) -> None:
        self.follower = MetricsFollower(run)
        self.by_step: dict[int, dict[str, Any]] = {}

    def poll(self, max_bytes: int = 1 << 22) -> None:
        more = True
        while more:
            update = self.follower.poll(max_bytes)
            if update.restarted:
                self.by_step = {}
            if update.rewound_to is not None:
                self.by_step = {step: record for step, record in self.by_step.items() if step <= update.rewound_to}
            for record in update.records:
                self.by_step.setdefault(record["step"], {}).update(record)
            more = update.more

    @property
    def records(self) -> list[dict[str, Any]]:
        return [self.by_step[step] for step in sorted(self.by_step)]


values = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf])


class KilledTraining(RuleBasedStateMachine):
    """A training that logs, evaluates, is killed in the middle of a line, resumes somewhere, and is watched meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.run = RunDirectory(Path(self.folder.name))
        self.watchers = [Watcher(self.run)]
        self.step = 0
        self.events: EventLog | None = None
        self.metrics: MetricsLog | None = None
        self.resume(0, 0.0)

    @rule(back=st.integers(0, 6), clock=st.floats(-1e9, 1e9))
    def resume(self, back: int, clock: float) -> None:
        if self.events is not None and self.metrics is not None:
            self.events.close()
            self.metrics.close()
        self.step = max(0, self.step - back)
        self.events = begin_attempt(self.run.events, self.step)
        self.metrics = MetricsLog(self.run.metrics, self.events.attempt)

    @rule(value=values, evaluate=st.booleans())
    def log(self, value: float, evaluate: bool) -> None:
        assert self.metrics is not None
        self.step += 1
        self.metrics.write(step=self.step, tokens=self.step, values={"train/loss": value})
        if evaluate:
            self.metrics.write(step=self.step, tokens=self.step, values={"eval/loss": -value})

    @rule(line=st.binary(max_size=20))
    def tear(self, line: bytes) -> None:
        """The process dies in a write; the next attempt heals it."""
        with self.run.metrics.open("ab") as file:
            file.write(b'{"attempt": 1, "step": 99' + line.replace(b"\n", b""))
        self.resume(2, 0.0)

    @rule(max_bytes=st.integers(1, 500))
    def watch(self, max_bytes: int) -> None:
        self.watchers[0].poll(max_bytes)

    @rule()
    def another_watcher(self) -> None:
        if len(self.watchers) < 3:
            self.watchers.append(Watcher(self.run))

    @rule()
    def begin_anew(self) -> None:
        """Somebody removes the run and starts another of its name."""
        for file in (self.run.metrics, self.run.events):
            file.unlink(missing_ok=True)
        self.step = 0
        self.resume(0, 0.0)

    @invariant()
    def what_is_followed_is_what_is_read(self) -> None:
        for watcher in self.watchers[1:] or self.watchers:
            watcher.poll()
            assert repr(watcher.records) == repr(read_metrics(self.run.metrics))

    def teardown(self) -> None:
        if self.events is not None and self.metrics is not None:
            self.events.close()
            self.metrics.close()
        self.folder.cleanup()


TestKilledTraining = KilledTraining.TestCase
TestKilledTraining.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


pieces = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(0, 9)),
        st.tuples(st.just("piece"), st.binary(min_size=1, max_size=6)),
        st.tuples(st.just("cut"), st.integers(0, 40)),
        st.tuples(st.just("heal"), st.none()),
        st.tuples(st.just("replace"), st.integers(0, 3)),
    ),
    max_size=25,
)


@given(pieces, st.integers(1, 60))
def test_a_reader_of_a_file_to_which_anything_happens_ends_up_right(
    tmp_path_factory: pytest.TempPathFactory, happenings: list[tuple[str, Any]], max_bytes: int
) -> None:
    """Pieces of lines, cuts, healing, another file under the name: after the last, what it has is what is there.

    Every record that it takes anew differs from all before, as records with times do.
    """
    path = tmp_path_factory.mktemp("tail") / "lines"
    tail = TailReader(path)
    kept: list[dict[str, Any]] = []

    def poll() -> None:
        more = True
        while more:
            batch = tail.poll(max_bytes)
            if batch.restarted:
                kept.clear()
            kept.extend(batch.records)
            more = batch.more

    for serial, (what, how) in enumerate(happenings):
        if what == "record":
            writer = JsonLinesWriter(path)
            writer.write({"n": serial, "padding": "x" * how})
            writer.close()
        elif what == "piece":
            with path.open("ab") as file:
                file.write(how)
        elif what == "cut" and path.exists():
            os.truncate(path, max(0, path.stat().st_size - how))
        elif what == "heal":
            heal(path)
        elif what == "replace":
            new = path.with_name("new")
            new.write_bytes(b"".join(encode({"n": f"{serial}.{number}"}) for number in range(how)))
            os.replace(new, path)
        poll()
    whole = [decode(line + b"\n") for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []
    assert kept == [record for record in whole if record is not None]


def test_writers_of_one_file_from_several_threads_lose_nothing(tmp_path: Path) -> None:
    path, per_writer = tmp_path / "control.jsonl", 200

    def write(number: int) -> None:
        writer, generator = JsonLinesWriter(path), random.Random(number)
        for count in range(per_writer):
            writer.write({"id": [number, count], "padding": "x" * generator.randrange(300)})
        writer.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    tail, found = TailReader(path), []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found += tail.poll(1000).records
    while batch := tail.poll().records:
        found += batch
    assert tail.corrupt == 0
    for number in range(4):
        assert [r["id"][1] for r in found if r["id"][0] == number] == list(range(per_writer)), "in order, each once"


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_clocks_may_jump(heartbeat: float, now: float) -> None:
    elsewhere = Status(state="running", pid=1, host="another", boot_id="another", heartbeat=heartbeat)
    assert liveness(elsewhere, now) == ("running" if now - heartbeat <= 120 else "lost")
    assert heartbeat_age(elsewhere, now)
