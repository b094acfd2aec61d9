"""`nanochat generate --requests`: a real process that is asked, interrupted and left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from tests.conftest import REPOSITORY
from tests.inference.checkpoints import write_checkpoint

MODEL = "runs/first/checkpoints/final"
CHATTY = {"temperature": 1.5, "max_tokens": 9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_config: Callable[..., RunConfig]) -> Path:
    """Has a model with a context of 20,000, more than anybody waits for."""
    folder = tmp_path_factory.mktemp("requests")
    config = tiny_config(model__vocab_size=608, model__max_seq_len=20_000)
    write_checkpoint(folder / "runs/first/checkpoints", "final", config)
    return folder


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder, with our own plugins."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")


class Served:
    """A process that answers."""

    def __init__(self, model: str = MODEL, *options: str) -> None:
        command = [sys.executable, "-m", "nanochat_framework", "generate", model, "--requests", *options]
        environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ
        )

    def __enter__(self) -> Self:
        self.ready = self.event("ready")
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def say(self, line: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        self.process.stdin.flush()

    def events(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def event(self, kind: str) -> dict[str, Any]:
        """The next event, which is of a kind."""
        event = next(self.events())
        assert event["event"] == kind, event
        return event

    def rest(self) -> list[dict[str, Any]]:
        """The events up to the end of a text."""
        found = []
        for event in self.events():
            found.append(event)
            if event["event"] == "end":
                return found
        raise AssertionError(f"no end: {found}")

    def answer(self, **request: Any) -> tuple[str, dict[str, Any]]:
        """A text and the event that ends it."""
        self.say(request)
        begin, *pieces, end = self.rest()
        assert begin["event"] == "begin" and all(piece["event"] == "text" and piece["text"] for piece in pieces)
        return "".join(piece["text"] for piece in pieces), end


def generated(capsys: pytest.CaptureFixture[str], prompt: str, *options: str) -> str:
    """What `generate` writes."""
    capsys.readouterr()
    assert main(["generate", MODEL, "--prompt", prompt, *options]) == 0
    return capsys.readouterr().out.removesuffix("\n")


def test_texts_are_those_of_generate(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["-t", "1.5", "-m", "9", "--seed"]
    with Served(MODEL, "-t", "1.5") as served:
        assert served.ready["name"] == "first" and served.ready["chat"] == "ChatML"
        assert served.ready["settings"]["temperature"] == 1.5 and served.ready["max_seq_len"] == 20_000
        assert set(served.ready["help"]) == set(served.ready["settings"])
        text, end = served.answer(prompt="import os", settings={"max_tokens": 9})
        assert text == generated(capsys, "import os", *flags, "0")
        assert end["tokens"] == 9 and end["finish_reason"] == "length" and end["seconds_to_first_token"] > 0
        text, end = served.answer(id="x", prompt="größer\n", settings={"max_tokens": 9})
        assert text == generated(capsys, "größer\n", *flags, "1") and end["seed"] == 1 and end["id"] == "x"
        text, _ = served.answer(prompt="import os", settings={"max_tokens": 9, "seed": 7})
        assert text == generated(capsys, "import os", *flags, "7")
        served.say({"settings": {"max_tokens": 4, "stop": ["zzz"]}})
        assert served.event("settings")["settings"]["max_tokens"] == 4
        assert served.answer(prompt="a")[1]["seed"] == 2
        served.process.stdin.close()  # type: ignore[union-attr]
        assert served.process.wait(60) == 0


def test_a_conversation_reads_only_what_is_new() -> None:
    with Served() as served:
        talk = [{"role": "user", "content": "Hi"}]
        served.say({"messages": talk, "settings": CHATTY})
        begin = served.event("begin")
        assert begin["read_tokens"] == begin["prompt_tokens"] > 5
        text = "".join(event.get("text", "") for event in served.rest())
        talk += [{"role": "assistant", "content": text}, {"role": "user", "content": "And?"}]
        served.say({"messages": talk, "settings": CHATTY})
        again = served.event("begin")
        assert 0 < again["read_tokens"] < again["prompt_tokens"]


def test_an_answer_is_stopped_and_the_model_stays() -> None:
    with Served() as served:
        served.say({"id": 1, "prompt": "x", "settings": {"max_tokens": 19_000}})
        served.event("begin")
        served.say({"stop": True})
        end = served.rest()[-1]
        assert end["finish_reason"] == "stopped" and end["tokens"] < 19_000
        two = b'{"id": 2, "prompt": "x", "settings": {"max_tokens": 19000}}\n{"id": 3, "prompt": "y"}\n'
        served.say(two + b'{"stop": true}\n{"id": 4, "prompt": "z", "settings": {"max_tokens": 3}}\n')
        ends = [served.rest()[-1] for _ in range(3)]
        assert [(e["id"], e["finish_reason"]) for e in ends] == [(2, "stopped"), (3, "stopped"), (4, "length")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{\n", "not JSON"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b'{"stop": ' + b"[" * 100_000 + b"\n", "not JSON"),
        (b"[]\n", "a request is a JSON object"),
        ({"promt": "x"}, "no 'promt'; it has id, prompt"),
        ({"prompt": 3}, "prompt: a string"),
        ({"prompt": "", "messages": []}, "either a prompt or messages"),
        ({"messages": []}, "messages: a list"),
        ({"messages": [{"role": "user"}]}, "messages: a list"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "system, user or assistant"),
        ({"prompt": "x", "settings": {"temperature": -1}}, "temperature must be 0 (greedy) or more, not -1"),
        ({"prompt": "x", "settings": {"top_k": "many"}}, "top_k must be 0"),
        ({"settings": {"heat": 1}}, "no setting 'heat'"),
        ({"settings": {"stop": "x"}}, "stop must be a list of texts"),
        ({"prompt": "long " * 20_000}, "the model reads at most 20000"),
    ],
)
def test_mistakes_are_told_and_survived(served: Served, line: object, expected: str) -> None:
    served.say(line)
    assert expected in served.event("error")["message"]
    served.say({"settings": {}})
    served.event("settings")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    """One process for all mistakes."""
    with Served(str(folder / MODEL)) as process:
        yield process


def test_it_goes_with_no_prompts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", MODEL, "--requests", "--prompt", "x"]) == 2
    assert "--requests takes its prompts from stdin" in capsys.readouterr().err
