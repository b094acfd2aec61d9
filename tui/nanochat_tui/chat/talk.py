"""What was asked of a model and what it answered: plain state, without a screen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["complete", "chat"]
State = Literal["waiting", "answering", "done", "failed"]

_ENDED = {
    "stop": "the text ended",
    "length": "max_tokens reached",
    "context": "the model's context is full",
    "stopped": "stopped",
}


@dataclass
class Turn:
    """A text and what the model made of it. `remark` says how it went, once it is over."""

    id: int
    mode: Mode
    given: str
    made: str = ""
    state: State = "waiting"
    remark: str = ""
    tokens: int = 0
    asked_at: float = 0.0
    first_at: float | None = None

    def speed(self, now: float) -> str:
        """Tokens, tokens/s and time to the first, while they come."""
        if self.first_at is None:
            return f"reading the prompt  {now - self.asked_at:.1f} s"
        seconds = now - self.first_at
        rate = f"{(self.tokens - 1) / seconds:.0f} tokens/s" if self.tokens > 1 and seconds > 0.1 else ""
        return f"{self.tokens} tokens  {rate}  first after {self.first_at - self.asked_at:.2f} s"


class Talk:
    """Turns so far. What `complete`, `chat`, `go_on` and `again` return is the request to send."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self._last_id = 0

    @property
    def present(self) -> Turn | None:
        """The turn that is being answered."""
        return next((turn for turn in self.turns if turn.state in ("waiting", "answering")), None)

    def ask(self, mode: Mode, text: str) -> dict[str, Any]:
        """A new turn."""
        self.turns.append(Turn(0, mode, text))
        return self._request(self.turns[-1])

    def go_on(self) -> dict[str, Any] | None:
        """More of the last text, if there is one to go on from."""
        last = self.turns[-1] if self.turns else None
        return self._request(last) if last is not None and last.mode == "complete" else None

    def again(self) -> dict[str, Any] | None:
        """The last turn once more, as if it had not been answered."""
        if not self.turns:
            return None
        self.turns[-1].made = ""
        return self._request(self.turns[-1])

    def clear(self) -> None:
        """Forget everything."""
        self.turns = []

    def _request(self, turn: Turn) -> dict[str, Any]:
        self._last_id += 1
        turn.id, turn.state, turn.remark = self._last_id, "waiting", ""
        turn.tokens, turn.first_at, turn.asked_at = 0, None, time.monotonic()
        if turn.mode == "complete":
            return {"id": turn.id, "prompt": turn.given + turn.made}
        messages = []
        for each in self.turns:
            if each.mode == "chat" and (each.made or each is turn):
                messages.append({"role": "user", "content": each.given})
                if each is not turn:
                    messages.append({"role": "assistant", "content": each.made})
        return {"id": turn.id, "messages": messages}

    def hear(self, event: Mapping[str, Any]) -> Turn | None:
        """Take an event in; the turn that it is about, None where it is about none."""
        turn = next((turn for turn in self.turns if turn.id == event.get("id")), None)
        if turn is None:
            return None
        kind = event["event"]
        if kind == "text":
            turn.first_at = turn.first_at or time.monotonic()
            turn.state, turn.made, turn.tokens = "answering", turn.made + str(event["text"]), int(event["tokens"])
        elif kind == "end":
            turn.state, turn.tokens = "done", int(event["tokens"])
            turn.remark = _remark(event)
        elif kind == "error":
            turn.state, turn.remark = "failed", str(event["message"])
        return turn

    def lost(self, message: str) -> None:
        """The model is gone."""
        if self.present is not None:
            self.present.remark, self.present.state = message, "failed"


def _remark(event: Mapping[str, Any]) -> str:
    parts = [f"{event['tokens']} tokens"]
    if event.get("tokens_per_second"):
        parts.append(f"{event['tokens_per_second']:.0f} tokens/s")
    if event.get("seconds_to_first_token"):
        parts.append(f"first after {event['seconds_to_first_token']:.2f} s")
    parts += [f"prompt {event['prompt_tokens']}", f"seed {event['seed']}"]
    return "  ".join([*parts, _ENDED.get(event["finish_reason"], str(event["finish_reason"]))])
