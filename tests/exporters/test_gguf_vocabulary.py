"""The vocabulary in a file: our own reader, and stock llama.cpp, make the same ids of it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import jinja2
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nanochat_exporters.config import GgufConfig
from nanochat_exporters.gguf.chat_template import CHATML_TEMPLATE
from nanochat_exporters.gguf.exporter import GgufExporter
from nanochat_exporters.gguf.vocabulary import read_vocabulary, vocabulary_keys
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.plugins import Registry
from tests.exporters.models import build, corpus, small_tokenizer
from tests.laws.llama_cpp import Llama


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """600 tokens."""
    return small_tokenizer()


@pytest.fixture(scope="module")
def judge(registry: Registry, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Llama:
    """A file with this vocabulary, loaded by llama.cpp."""
    _, bundle = build(
        registry, [], dim=32, n_layers=1, attention={"name": "gqa", "n_heads": 2, "n_kv_heads": 1, "head_dim": 16}
    )
    path = tmp_path_factory.mktemp("vocabulary") / "model.gguf"
    GgufExporter(GgufConfig()).export(replace(bundle, tokenizer=tokenizer), path)
    return Llama(path)


def test_round_trip(tokenizer: Tokenizer) -> None:
    again = read_vocabulary(vocabulary_keys(tokenizer, 608), "x")
    assert again is not None
    assert again.to_json() == tokenizer.to_json() and again.fingerprint == tokenizer.fingerprint


def test_keys(tokenizer: Tokenizer) -> None:
    keys: dict[str, Any] = dict(vocabulary_keys(tokenizer, 608))
    tokens, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == 608
    assert tokens[600:602] == ["<|unused_0|>", "<|unused_1|>"] and types[600:] == [5] * 8
    assert types[:33] == [3] * 33 and set(types[33:600]) == {1}
    assert tokens[keys["tokenizer.ggml.bos_token_id"]] == "<|bos|>"


def test_a_tokenizer_of_another_model_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match="600 tokens, the model only 512 rows"):
        vocabulary_keys(tokenizer, 512)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("tokenizer.ggml.token_type", [1], "do not fit together"),
        ("tokenizer.ggml.merges", None, "do not fit together"),
        ("tokenizer.ggml.merges", ["a b c"], "do not fit together"),
    ],
)
def test_damaged_keys(tokenizer: Tokenizer, key: str, value: Any, expected: str) -> None:
    with pytest.raises(UsageError, match=f"f.gguf.*{expected}"):
        read_vocabulary({**vocabulary_keys(tokenizer, 608), key: value}, "f.gguf")


def test_a_foreign_vocabulary_is_none_of_ours() -> None:
    assert read_vocabulary({"tokenizer.ggml.tokens": ["<s>", "a"]}, "x") is None
    assert read_vocabulary({"tokenizer.ggml.model": "none"}, "x") is None


def test_llama_cpp_makes_the_same_ids(judge: Llama, tokenizer: Tokenizer) -> None:
    rng = random.Random(0)
    texts = [
        "def f(x):\n    return 1234567\n\n\n  x",
        "it's WE'LL ünïcödé 日本語 🎉",
        "<|im_start|>user",
        "a\u00a0b\u2003c",
    ]
    texts += [corpus()[start : start + 1000] for start in range(0, 10_000, 1000)]
    texts += ["".join(rng.choice("ab \n\t1'S.é日\r") for _ in range(40)) for _ in range(60)]
    for text in texts:
        assert judge.tokenize(text) == [tokenizer.bos_id, *tokenizer.encode(text)]


MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi <b>&'\""},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Again?"},
]
CHATML = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <b>&'\"<|im_end|>\n"
    "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nAgain?<|im_end|>\n<|im_start|>assistant\n"
)


def render(**context: Any) -> str:
    """As transformers does."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.Undefined)
    return environment.from_string(CHATML_TEMPLATE).render(**context)


def test_template_is_chatml() -> None:
    assert render(messages=MESSAGES, add_generation_prompt=True) == CHATML
    assert render(messages=MESSAGES[1:2]) == "<|im_start|>user\nHi <b>&'\"<|im_end|>\n"


def test_llama_cpp_renders_the_template_alike(judge: Llama) -> None:
    assert judge.chat_prompt(MESSAGES) == CHATML


def test_template_with_hermes_tools() -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    call = {"function": {"name": "add", "arguments": {"a": 1}}}
    rendered = render(
        tools=[tool],
        messages=[
            {"role": "user", "content": "1+1"},
            {"role": "assistant", "content": "", "tool_calls": [call, call]},
            {"role": "tool", "content": "2"},
            {"role": "tool", "content": "2"},
        ],
        add_generation_prompt=True,
    )
    head, _, rest = rendered.partition("<|im_end|>\n")
    assert head.startswith("<|im_start|>system\n# Tools\n") and '\n{"function": {"name": "add"' in head
    one_call = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    one_answer = "\n<tool_response>\n2\n</tool_response>"
    assert rest == (
        f"<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\n{one_call}\n{one_call}<|im_end|>\n"
        f"<|im_start|>user{one_answer}{one_answer}<|im_end|>\n<|im_start|>assistant\n"
    )
