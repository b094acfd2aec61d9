"""The control protocol without a training: requests, the inbox through torn and foreign lines, replayed settings."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.runs.control import (
    COMMANDS,
    ControlInbox,
    Refused,
    Request,
    changes,
    parse,
    send,
    settings_at,
)
from nanochat_framework.runs.controller import PendingRequest
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import EventLog
from nanochat_framework.runs.status import StatusFile


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(
        tmp_path, "first", sources=[("a.toml", b"")], resolved={}, components_lock=[], overrides=[], argv=[]
    )


def test_a_request_reads_back_as_it_was_sent(run: RunDirectory) -> None:
    sent = [Request(command, {"lr_scale": 0.5} if command == "set" else {}) for command in COMMANDS]
    for request in sent:
        send(run, request)
    assert [parse(record) for record in ControlInbox(run.control).earlier] == sent
    assert sent[0].by["pid"] == os.getpid()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({}, "no id"),
        ({"id": ""}, "no id"),
        ({"id": 7, "command": "stop"}, "no id"),
        ({"id": "x" * 201, "command": "stop"}, "no id"),
        ({"id": "x"}, "unknown command None"),
        ({"id": "x", "command": ["stop"]}, "unknown command"),
        ({"id": "x", "command": "halt"}, "there are: pause"),
        ({"id": "x", "command": "stop", "arguments": 3}, "must be an object"),
        ({"id": "x", "command": "stop", "arguments": {"now": True}}, "unknown argument 'now'"),
        ({"id": "x", "command": "pause", "arguments": {"release": 1}}, "true or false"),
        ({"id": "x", "command": "set"}, "nothing to set"),
        ({"id": "x", "command": "set", "arguments": {"train.steps": 5}}, "may be set: lr_scale, train.log_every"),
        ({"id": "x", "command": "set", "arguments": {"lr_scale": -1}}, "at least 0"),
        ({"id": "x", "command": "set", "arguments": {"lr_scale": "NaN"}}, "must be a number"),
        ({"id": "x", "command": "set", "arguments": {"lr_scale": True}}, "must be a number"),
        ({"id": "x", "command": "set", "arguments": {"train.log_every": 2.0}}, "a whole number of at least 1"),
        ({"id": "x", "command": "set", "arguments": {"checkpoint.every": 0}}, "at least 1"),
    ],
)
def test_what_is_no_request_is_refused_with_a_reason(line: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        parse(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": json_values | st.just("x"),
            "command": json_values | st.sampled_from(sorted(COMMANDS)),
            "arguments": json_values,
            "by": json_values,
            "time": json_values,
        },
    )
)
def test_any_object_is_a_request_or_refused(record: dict[str, Any]) -> None:
    try:
        request = parse(record)
    except Refused:
        return
    assert request.command in COMMANDS
    assert request.sender
    json.dumps(request.to_record())


class TestInbox:
    def test_torn_lines_are_told_once_and_lose_no_other(self, run: RunDirectory) -> None:
        inbox = ControlInbox(run.control)
        assert inbox.poll() == []
        with run.control.open("ab") as file:
            file.write(b'{"id": "a", "command": "pau')
        assert inbox.poll() == []
        send(run, Request("stop", id="b"))  # closes the torn line
        found = inbox.poll()
        assert [record.get("id") for record in found] == ["b", None]
        assert inbox.poll() == []

    def test_an_id_counts_once(self, run: RunDirectory) -> None:
        inbox = ControlInbox(run.control, answered_before=["a"])
        for identity in ("a", "b", "b", "c"):
            send(run, Request("stop", id=identity))
        assert [record["id"] for record in inbox.poll()] == ["b", "c"]

    def test_a_replaced_file_is_read_again_without_what_is_known(self, run: RunDirectory) -> None:
        send(run, Request("stop", id="a"))
        inbox = ControlInbox(run.control)
        assert [record["id"] for record in inbox.earlier] == ["a"]
        old = run.control.read_bytes()
        run.control.unlink()
        assert inbox.poll() == []
        run.control.write_bytes(old)
        send(run, Request("stop", id="b"))
        assert [record["id"] for record in inbox.poll()] == ["b"]

    def test_nothing_is_read_where_nothing_is_new(self, run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
        send(run, Request("stop", id="a"))
        inbox = ControlInbox(run.control)
        monkeypatch.setattr(inbox._tail, "poll", lambda: pytest.fail("read"))
        assert inbox.poll() == []

    def test_many_controllers_at_once_lose_no_request(self, run: RunDirectory) -> None:
        inbox, found = ControlInbox(run.control), []

        def control(number: int) -> None:
            for count in range(20):
                send(run, Request("eval", id=f"{number}-{count}"))

        threads = [threading.Thread(target=control, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            found += inbox.poll()
        found += inbox.poll()
        assert sorted(record["id"] for record in found) == sorted(f"{n}-{c}" for n in range(4) for c in range(20))


def a_set(step: int, **settings: float) -> dict[str, Any]:
    return {"kind": "set", "step": step, "settings": {key.replace("__", "."): value for key, value in settings.items()}}


def test_what_was_set_holds_from_its_step_on() -> None:
    events = [a_set(10, lr_scale=0.5), {"kind": "checkpoint", "step": 11}, a_set(20, lr_scale=0.1, eval__every=3)]
    assert settings_at(events, 9) == {}
    assert settings_at(events, 10) == {"lr_scale": 0.5}
    assert settings_at(events, 25) == {"lr_scale": 0.1, "eval.every": 3}


def test_the_newest_word_takes_back_what_was_set_for_later_steps() -> None:
    events = [a_set(10, lr_scale=0.5), a_set(20, lr_scale=0.1, eval__every=3), a_set(15, lr_scale=2.0)]
    assert settings_at(events, 12) == {"lr_scale": 0.5}
    assert settings_at(events, 30) == {"lr_scale": 2.0, "eval.every": 3}


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0.1, 2.0)), max_size=12), st.integers(0, 40))
def test_a_run_without_rewinds_has_its_last_setting(sets: list[tuple[int, float]], step: int) -> None:
    ordered = sorted(sets, key=lambda each: each[0])
    expected = [value for at, value in ordered if at <= step]
    found = settings_at([a_set(at, lr_scale=value) for at, value in ordered], step)
    assert found.get("lr_scale") == (expected[-1] if expected else None)


def test_foreign_and_broken_events_change_nothing() -> None:
    broken = [
        {"kind": "set"},
        {"kind": "set", "step": 3, "settings": {"steps": 1}},
        {"kind": "set", "step": -1, "settings": {}},
    ]
    assert changes([*broken, a_set(1, lr_scale=0.5)]) == [(1, "lr_scale", 0.5)]


class TestController:
    def test_each_answer(self, run: RunDirectory) -> None:
        StatusFile(run.status).update(state="running")
        events = EventLog(run.events, 1)
        pending = PendingRequest(run, Request("pause"))
        other = PendingRequest(run, Request("eval"))
        assert pending.poll() is None
        events.write("acknowledged", id=pending.request.id, command="pause", answer="accepted", step=3)
        assert pending.poll() is None
        assert pending.accepted
        assert not other.accepted
        events.write("acknowledged", id=other.request.id, command="eval", answer="refused", reason="no", step=3)
        events.write("acknowledged", id=pending.request.id, command="pause", answer="done", step=3)
        done, refused = pending.poll(), other.poll()
        assert done is not None and (done.verdict, done.facts) == ("done", {"step": 3})
        assert refused is not None and (refused.verdict, refused.reason) == ("refused", "no")

    def test_a_run_that_ends_is_not_waited_for(self, run: RunDirectory) -> None:
        status = StatusFile(run.status)
        status.update(state="running")
        pending = PendingRequest(run, Request("pause"))
        status.update(state="stopped")
        outcome = pending.wait(60.0)
        assert (outcome.verdict, outcome.accepted, outcome.reason) == ("ended", False, "the run is stopped")

    def test_the_answer_of_a_run_that_ended_at_once_is_found(self, run: RunDirectory) -> None:
        StatusFile(run.status).update(state="running")
        pending = PendingRequest(run, Request("stop"))
        EventLog(run.events, 1).write("acknowledged", id=pending.request.id, command="stop", answer="done", step=9)
        StatusFile(run.status).update(state="stopped")
        assert pending.wait(60.0).verdict == "done"

    def test_time_is_limited(self, run: RunDirectory) -> None:
        StatusFile(run.status).update(state="running")
        assert PendingRequest(run, Request("eval")).wait(0.1).verdict == "unanswered"
