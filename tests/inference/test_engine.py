"""Generation: against a loop without states, and at every way a text can end."""

from __future__ import annotations

import pytest
import torch

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.engine import TextGenerator
from nanochat_framework.inference.prefix import read_prompt
from nanochat_framework.inference.settings import GenerationSettings, SamplingSettings
from nanochat_framework.inference.tables import select_model
from nanochat_framework.model.build import build_model
from nanochat_framework.plugins import Registry
from tests.exporters.models import small_tokenizer

GREEDY = SamplingSettings(temperature=0)
MIXERS = {
    "gqa": {"name": "gqa", "n_heads": 2, "n_kv_heads": 1, "head_dim": 16},
    "recurrent": {"name": "probe/recurrent"},
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """600 tokens."""
    return small_tokenizer()


def make_model(registry: Registry, mixer: str = "gqa", max_seq_len: int = 64) -> LanguageModel:
    """A tiny model whose logits differ widely, so that equal tokens mean equal computation."""
    table = {"name": "decoder", "dim": 32, "n_layers": 2, "vocab_size": 608, "max_seq_len": max_seq_len}
    parts = {"attention": MIXERS[mixer], "ffn": {"name": "relu2", "hidden_dim": 64}, "norm": "rms", "residual": "add"}
    model = build_model(select_model({**table, **parts}, "model", registry), seed=3).eval()
    return model.requires_grad_(False)


@pytest.fixture
def generator(probe_registry: Registry, tokenizer: Tokenizer) -> TextGenerator:
    """With softmax attention and a context of 64."""
    return TextGenerator(make_model(probe_registry), tokenizer)


def without_states(model: LanguageModel, ids: list[int], count: int, limit: int) -> list[int]:
    """Greedy decoding that reads everything again for each token."""
    tokens = list(ids)
    for _ in range(count):
        tokens.append(int(model(torch.tensor([tokens]))[0, -1, :limit].argmax()))
    return tokens[len(ids) :]


@pytest.mark.parametrize("mixer", MIXERS)
def test_equals_reading_everything_again(probe_registry: Registry, tokenizer: Tokenizer, mixer: str) -> None:
    model = make_model(probe_registry, mixer)
    generator = TextGenerator(model, tokenizer)
    ids = generator.prompt("def forward(self, x")
    completion = generator.generate(ids, GenerationSettings(20, GREEDY, stop_ids=frozenset()))
    assert completion.tokens == without_states(model, ids, 20, tokenizer.vocab_size)
    assert completion.text == tokenizer.decode(completion.tokens)
    assert completion.finish_reason == "length" and completion.prompt_tokens == len(ids)
    assert completion.tokens_per_second > 0


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_prefix_is_read_once_and_used_often(probe_registry: Registry, tokenizer: Tokenizer, mixer: str) -> None:
    generator = TextGenerator(make_model(probe_registry, mixer), tokenizer)
    ids = generator.prompt("class Linear")
    settings = [GenerationSettings(15, SamplingSettings(temperature=2.0, seed=seed)) for seed in range(3)]
    prefix = read_prompt(generator.model, ids)
    reused = [generator.generate(prefix, each).tokens for each in settings]
    assert reused == [generator.generate(ids, each).tokens for each in settings]
    assert len({tuple(tokens) for tokens in reused}) == 3
    more = tokenizer.encode("(nn.Module):")
    after = read_prompt(generator.model, more, after=prefix)
    torch.testing.assert_close(after.logits, read_prompt(generator.model, [*ids, *more]).logits, rtol=1e-4, atol=1e-5)
    assert generator.generate(prefix, settings[0]).tokens == reused[0]


def test_streams_whole_characters_that_add_up(generator: TextGenerator) -> None:
    settings = GenerationSettings(55, SamplingSettings(temperature=5.0, seed=1))
    stream = generator.stream(generator.prompt("x"), settings)
    pieces = list(stream)
    assert "".join(pieces) == stream.completion.text == generator.tokenizer.decode(stream.completion.tokens)
    assert len(pieces) > 5


def test_ends_at_a_stop_token(generator: TextGenerator) -> None:
    ids = generator.prompt("def")
    free = generator.generate(ids, GenerationSettings(20, GREEDY, stop_ids=frozenset()))
    stop = free.tokens[7]
    ended = generator.generate(ids, GenerationSettings(20, GREEDY, stop_ids=frozenset([stop])))
    assert ended.finish_reason == "stop"
    assert ended.tokens == free.tokens[: free.tokens.index(stop)]


def test_ends_before_a_stop_string_that_spans_tokens(generator: TextGenerator) -> None:
    ids, settings = generator.prompt("def"), SamplingSettings(temperature=3.0, seed=8)
    free = generator.generate(ids, GenerationSettings(40, settings, stop_ids=frozenset()))
    edge = len(generator.tokenizer.decode(free.tokens[:9]))
    stop = free.text[edge - 1 : edge + 2]
    seen: list[str] = []
    ended = generator.generate(
        ids, GenerationSettings(40, settings, stop=(stop,), stop_ids=frozenset()), on_text=seen.append
    )
    assert ended.finish_reason == "stop"
    assert ended.text == "".join(seen) == free.text[: free.text.index(stop)]


def test_the_context_ends_the_text(probe_registry: Registry, tokenizer: Tokenizer) -> None:
    generator = TextGenerator(make_model(probe_registry, max_seq_len=12), tokenizer)
    ids = generator.prompt("x")
    completion = generator.generate(ids, GenerationSettings(100, GREEDY, stop_ids=frozenset()))
    assert completion.finish_reason == "context"
    assert len(ids) + len(completion.tokens) == 13  # the last token is drawn from a full context and not read
    full = read_prompt(generator.model, (ids * 12)[:12])
    assert generator.generate(full, GenerationSettings(100, GREEDY, stop_ids=frozenset())).finish_reason == "context"


def test_rows_without_a_token_are_never_drawn(generator: TextGenerator) -> None:
    settings = GenerationSettings(60, SamplingSettings(temperature=1e4, seed=0), stop_ids=frozenset())
    completion = generator.generate(generator.prompt(""), settings)
    assert max(completion.tokens) < generator.tokenizer.vocab_size == 600


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([], "no tokens"), ([608], "outside .* 608"), ([-1], "outside"), ([1] * 65, "65 tokens .* 64")],
)
def test_prompts_that_cannot_be_read(generator: TextGenerator, ids: list[int], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        generator.stream(ids, GenerationSettings())
