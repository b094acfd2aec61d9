"""What a talk asks for and keeps, without a model."""

from __future__ import annotations

from nanochat_tui.chat.settings import read, written
from nanochat_tui.chat.talk import Talk

END = {"event": "end", "finish_reason": "length", "tokens": 2, "prompt_tokens": 3, "seed": 0, "tokens_per_second": 41.6}


def answered(talk: Talk, *pieces: str) -> None:
    turn = talk.present
    assert turn is not None
    for number, piece in enumerate(pieces):
        talk.hear({"event": "text", "id": turn.id, "text": piece, "tokens": number + 1})
    talk.hear({**END, "id": turn.id, "seconds_to_first_token": 0.1234})


def test_a_text_grows_and_is_made_again() -> None:
    talk = Talk()
    assert talk.go_on() is None and talk.again() is None
    assert talk.ask("complete", "a") == {"id": 1, "prompt": "a"}
    answered(talk, "b", "c")
    assert talk.present is None
    assert talk.turns[0].remark == "2 tokens  42 tokens/s  first after 0.12 s  prompt 3  seed 0  max_tokens reached"
    assert talk.go_on() == {"id": 2, "prompt": "abc"}
    talk.hear({"event": "text", "id": 1, "text": "late", "tokens": 9})
    answered(talk, "d")
    assert talk.turns[0].made == "bcd" and len(talk.turns) == 1
    assert talk.again() == {"id": 3, "prompt": "a"}


def test_a_conversation_is_sent_whole_without_what_failed() -> None:
    talk = Talk()
    talk.ask("chat", "one")
    answered(talk, "1")
    talk.ask("complete", "beside it")
    answered(talk, "x")
    talk.ask("chat", "two")
    talk.hear({"event": "error", "id": 3, "message": "too long"})
    assert talk.turns[-1].state == "failed" and talk.turns[-1].remark == "too long"
    request = talk.ask("chat", "three")
    assert [m["content"] for m in request["messages"]] == ["one", "1", "three"]
    assert [m["role"] for m in request["messages"]] == ["user", "assistant", "user"]
    talk.lost("gone")
    assert talk.turns[-1].remark == "gone" and talk.present is None


def test_settings_are_written_and_read() -> None:
    for value in (0.8, 40, ["\n\n", "a|b", "tab\t\\n"], []):
        assert read(written(value), value) == value
    assert read("many", 40) == "many" and read("true", 40) == "true" and read("0.5", 40) == 0.5
