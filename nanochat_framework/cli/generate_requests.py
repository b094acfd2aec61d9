"""`nanochat generate --requests`: the model is loaded once and answers JSON requests, a line each, with JSON lines.

For programs that want to show text as it comes: the dashboard is one. docs/generation.md has the format.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from nanochat_framework.cli.text_options import MAX_TOKENS, SAMPLING, SEED
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.settings import GenerationSettings, SettingError

if TYPE_CHECKING:
    from nanochat_framework.inference.chat_format import ChatFormat
    from nanochat_framework.inference.engine import TextGenerator

Request = Mapping[str, Any]
NUMBERS = (MAX_TOKENS, *SAMPLING, SEED)
KEYS = ("id", "prompt", "messages", "settings", "stop")
_READ_BYTES = 65536


class RequestLines:
    """Requests from stdin, read in a thread of their own, so that a `stop` is heard while an answer is made."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        self._stopped_before = 0
        """Requests with a smaller number are not wanted any more."""
        threading.Thread(target=self._read, daemon=True).start()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """(number, line) of each request, until stdin ends."""
        return iter(self._queue.get, None)

    def stopped(self, number: int) -> bool:
        """Whether a `stop` came after this request."""
        return number < self._stopped_before

    def _read(self) -> None:
        number = 0
        try:
            for line in _lines(sys.stdin.fileno()):
                if _is_stop(line):
                    self._stopped_before = number
                elif line.strip():
                    self._queue.put((number, line))
                    number += 1
        finally:  # whatever ends the reading, nobody waits for more
            self._queue.put(None)


def _lines(file: int) -> Iterator[bytes]:
    """Lines as they come. Not through sys.stdin: its lock, held by a daemon thread, is fatal when the interpreter ends."""
    rest = b""
    while chunk := os.read(file, _READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _is_stop(line: bytes) -> bool:
    try:
        return b"stop" in line and json.loads(line) == {"stop": True}
    except (ValueError, RecursionError):
        return False


class Service:
    """Answers requests one after the other. `settings` are those of requests that name none; a text raises the seed by 1."""

    def __init__(self, generator: TextGenerator, about: Mapping[str, Any], settings: GenerationSettings) -> None:
        from nanochat_framework.inference.chat_format import chat_format
        from nanochat_framework.inference.prompt_reader import PromptReader

        self._generator, self._about, self._settings = generator, about, settings
        self._reader = PromptReader(generator.model)
        self._lines = RequestLines()
        self._chat: ChatFormat | None = None
        self._why_no_chat = ""
        try:
            self._chat = chat_format(generator.tokenizer, about)
        except UsageError as error:
            self._why_no_chat = str(error)

    def run(self) -> int:
        """Until stdin ends."""
        self._tell("ready", **self._facts())
        for number, line in self._lines:
            request: Request = {}
            try:
                request = _checked(line)
                self._answer(number, request)
            except UsageError as error:
                self._tell("error", request, message=str(error))
        return 0

    def _facts(self) -> dict[str, Any]:
        model = self._generator.model
        known = {key: self._about[key] for key in ("name", "checkpoint", "step") if key in self._about}
        return {
            **known,
            "device": str(model.device),
            "max_seq_len": model.max_seq_len,
            "chat": self._chat.name if self._chat else None,
            **({} if self._chat else {"why_no_chat": self._why_no_chat}),
            "settings": shown_settings(self._settings),
            "help": {option.name: option.help for option in NUMBERS} | {"stop": "texts before which it ends"},
        }

    def _answer(self, number: int, request: Request) -> None:
        settings = merged(self._settings, request.get("settings", {}))
        if "prompt" not in request and "messages" not in request:
            self._settings = settings
            self._tell("settings", request, settings=shown_settings(settings))
            return
        started = time.perf_counter()
        tokens, settings = self._prompt(request, settings)
        if "seed" not in request.get("settings", {}):
            self._settings = merged(self._settings, {"seed": (self._settings.sampling.seed + 1) % 2**63})
        prefix = self._reader.read(tokens, stopped=lambda: self._lines.stopped(number))
        facts = {"prompt_tokens": len(tokens), "seed": settings.sampling.seed}
        if prefix is None:
            self._tell("end", request, finish_reason="stopped", tokens=0, **facts)
            return
        self._tell("begin", request, read_tokens=self._reader.n_new, **facts)
        stream = self._generator.stream(prefix, settings)
        first, stopped = 0.0, False
        for piece in stream:
            first = first or time.perf_counter() - started
            if piece:
                self._tell("text", request, text=piece, tokens=len(stream.completion.tokens))
            if self._lines.stopped(number):
                stopped = stream.completion.finish_reason is None
                break
        done = stream.completion
        self._tell(
            "end",
            request,
            finish_reason="stopped" if stopped else done.finish_reason,
            tokens=len(done.tokens),
            seconds_to_first_token=round(first, 6),
            tokens_per_second=round(done.tokens_per_second, 2),
            **facts,
        )

    def _prompt(self, request: Request, settings: GenerationSettings) -> tuple[list[int], GenerationSettings]:
        """The ids to go on from, and settings that end an answer where the conversation's form does."""
        if "prompt" in request:
            return self._generator.prompt(request["prompt"]), settings
        from nanochat_framework.inference.chat_format import Message

        if self._chat is None:
            raise UsageError(f"no chat with this model: {self._why_no_chat}")
        messages = [Message(message["role"], message["content"]) for message in request["messages"]]
        return self._chat.prompt(messages), replace(settings, stop_ids=self._chat.stop_ids)

    def _tell(self, event: str, request: Request | None = None, **facts: Any) -> None:
        named = {"id": request["id"]} if request and "id" in request else {}
        print(json.dumps({"event": event, **named, **facts}), flush=True)


def _checked(line: bytes) -> Request:
    """A line as a request. Raises UsageError for what is none."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}") from None
    if not isinstance(request, dict):
        raise UsageError("a request is a JSON object")
    odd = sorted(set(request) - set(KEYS))
    if odd:
        raise UsageError(f"a request has no {odd[0]!r}; it has {', '.join(KEYS)}")
    if "prompt" in request and "messages" in request:
        raise UsageError("a request has either a prompt or messages")
    if not isinstance(request.get("prompt", ""), str):
        raise UsageError("prompt: a string is expected")
    if not isinstance(request.get("settings", {}), dict):
        raise UsageError("settings: an object is expected")
    messages = request.get("messages", [])
    if not isinstance(messages, list) or not all(map(_is_message, messages)) or request.get("messages") == []:
        raise UsageError('messages: a list of {"role": ..., "content": ...} is expected, with text in both')
    return request


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"role", "content"}
        and all(isinstance(v, str) for v in value.values())
    )


def shown_settings(settings: GenerationSettings) -> dict[str, Any]:
    """The settings that a request may name, with their values."""
    own = {name: getattr(settings, name) for name in ("max_tokens",)}
    drawn = {option.name: getattr(settings.sampling, option.name) for option in (*SAMPLING, SEED)}
    return {**own, **drawn, "stop": list(settings.stop)}


def merged(settings: GenerationSettings, changes: Mapping[str, Any]) -> GenerationSettings:
    """The settings with changes. Raises UsageError for a name or a value that there is not."""
    known = shown_settings(settings)
    odd = sorted(set(changes) - set(known))
    if odd:
        raise UsageError(f"there is no setting {odd[0]!r}; there are {', '.join(known)}")
    stop = changes.get("stop", settings.stop)
    if not isinstance(stop, list | tuple) or not all(isinstance(text, str) for text in stop):
        raise SettingError("stop", "must be a list of texts")
    of_sampling = {field.name for field in fields(settings.sampling)}
    sampling = replace(settings.sampling, **{name: value for name, value in changes.items() if name in of_sampling})
    return replace(
        settings, max_tokens=changes.get("max_tokens", settings.max_tokens), sampling=sampling, stop=tuple(stop)
    )
