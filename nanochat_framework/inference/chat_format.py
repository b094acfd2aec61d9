"""How a conversation becomes a prompt: ChatML in our own vocabularies, a model's own template in those of others."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn, Protocol

from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError

ROLES = ("system", "user", "assistant")
START, END = "<|im_start|>", "<|im_end|>"
ENDS_OF_TURNS = (END, "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>")
"""Tokens at which turns of widely used models end, whatever their files call the end of a document."""


@dataclass(frozen=True)
class Message:
    """A turn: `role` is one of ROLES. Raises UsageError for another."""

    role: str
    content: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise UsageError(f"a message's role is {', '.join(ROLES[:-1])} or {ROLES[-1]}, not {self.role!r}")


class ChatFormat(Protocol):
    """Makes prompts of conversations; an answer ends at `stop_ids`."""

    name: str

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids at which an answer ends."""
        ...

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Ids of the conversation so far and of the beginning of an answer. Raises UsageError where it has no form."""
        ...


def chat_format(tokenizer: Tokenizer, metadata: Mapping[str, Any]) -> ChatFormat:
    """The format of a model. Raises UsageError, saying why, for one that has none."""
    template = metadata.get("chat_template")
    if isinstance(template, str) and template:
        return TemplateFormat(tokenizer, template)
    if {START, END} <= set(tokenizer.special_ids):
        return ChatMLFormat(tokenizer)
    raise UsageError("the model came without a chat template, and its tokenizer has no tokens that divide turns")


class ChatMLFormat:
    """`<|im_start|>role`, a newline, the text, `<|im_end|>`, a newline: as `nanochat export` writes into files.

    The marks are ids, so no text of a message can be taken for one.
    """

    name = "ChatML"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._start, self._end = tokenizer.special(START), tokenizer.special(END)

    @property
    def stop_ids(self) -> frozenset[int]:
        """The end of a turn or of a document."""
        return self._tokenizer.end_ids | {self._end}

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """As the protocol says."""
        encode, ids = self._tokenizer.encode, list(self._tokenizer.start_ids)
        for message in messages:
            ids += [self._start, *encode(f"{message.role}\n{message.content}"), self._end, *encode("\n")]
        return [*ids, self._start, *encode("assistant\n")]


class TemplateFormat:
    """A Jinja template that came with the model, rendered as transformers renders it, in a sandbox.

    Special tokens are recognised in the rendered text, also where a message spells one.
    """

    name = "the model's template"

    def __init__(self, tokenizer: Tokenizer, template: str) -> None:
        self._tokenizer, self._source = tokenizer, template

    @property
    def stop_ids(self) -> frozenset[int]:
        """The ends of documents, and those of turns that the vocabulary has."""
        special = self._tokenizer.special_ids
        return self._tokenizer.end_ids | {special[text] for text in ENDS_OF_TURNS if text in special}

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """As the protocol says; raises UsageError with the template's own words where it refuses."""
        tokenizer = self._tokenizer
        texts = {number: text for text, number in tokenizer.special_ids.items()}
        try:
            rendered = self._template.render(
                messages=[{"role": message.role, "content": message.content} for message in messages],
                add_generation_prompt=True,
                bos_token=texts.get(tokenizer.bos_id, ""),
                eos_token=texts.get(tokenizer.eos_id, ""),
                tools=None,
            )
        except Exception as error:  # a template is a program of somebody else's
            raise UsageError(f"the model's chat template refuses: {' '.join(str(error).split())}") from None
        return self._encode(str(rendered))

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = []
        special = self._tokenizer.special_ids
        for part in self._parts.split(text):
            ids += [special[part]] if part in special else self._tokenizer.encode(part) if part else []
        return ids

    @cached_property
    def _parts(self) -> Any:
        import re

        longest_first = sorted(self._tokenizer.special_ids, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first))})")

    @cached_property
    def _template(self) -> Any:
        from jinja2.exceptions import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )

        def refuse(message: str) -> NoReturn:
            raise TemplateError(message)

        environment.filters["tojson"] = lambda value, **kinds: json.dumps(value, ensure_ascii=False, **kinds)
        environment.globals["raise_exception"] = refuse
        environment.globals["strftime_now"] = time.strftime
        return environment.from_string(self._source)
