"""Batches: each sequence gets what it would get alone, whatever its company, its length and when it joins."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.batch import BatchGenerator
from nanochat_framework.inference.continuation import Completion
from nanochat_framework.inference.engine import TextGenerator
from nanochat_framework.inference.settings import GenerationSettings, SamplingSettings
from nanochat_framework.inference.tables import select_model
from nanochat_framework.model.build import build_model
from nanochat_framework.plugins import Registry
from tests.exporters.models import small_tokenizer

GQA = {"name": "gqa", "n_heads": 2, "n_kv_heads": 1, "head_dim": 16}
DELTANET = {"name": "deltanet", "n_heads": 2, "head_dim": 16}
MIXERS = {
    "gqa": GQA,
    "window": {**GQA, "window": 6, "qk_norm": True},
    "deltanet": DELTANET,
    "hybrid": {"name": "hybrid", "full": GQA, "linear": DELTANET, "pattern": ["linear", "full"]},
    "stranger": {"name": "probe/recurrent"},
}
PROMPTS = ["", "def forward(self, x):\n    return", "x = 1", "class Linear(nn.Module):\n", "import", "x = 1"]
GREEDY = SamplingSettings(temperature=0)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """600 tokens."""
    return small_tokenizer()


def make_generator(registry: Registry, tokenizer: Tokenizer, mixer: str = "gqa") -> TextGenerator:
    """A tiny model with a context of 48."""
    table = {"name": "decoder", "dim": 32, "n_layers": 2, "vocab_size": 608, "max_seq_len": 48, "norm": "rms"}
    parts = {"attention": MIXERS[mixer], "ffn": {"name": "swiglu", "hidden_dim": 64}, "residual": "add"}
    model: LanguageModel = build_model(select_model({**table, **parts}, "model", registry), seed=3).eval()
    return TextGenerator(model.requires_grad_(False), tokenizer)


def together(
    generator: TextGenerator, prompts: list[list[int]], settings: list[GenerationSettings], max_sequences: int
) -> list[Completion]:
    """All at once, as many at a time as there is room for."""
    batch = BatchGenerator(generator, max_sequences)
    asked = [batch.add(ids, each) for ids, each in zip(prompts, settings, strict=True)]
    pieces = {id(each): "" for each in asked}
    while batch.busy:
        came = batch.step()
        assert 0 < len(came) <= max_sequences
        for continuation, piece in came:
            pieces[id(continuation)] += piece
    assert [pieces[id(each)] for each in asked] == [each.completion.text for each in asked]
    return [each.completion for each in asked]


@pytest.mark.parametrize("max_sequences", [1, 3, 16])
@pytest.mark.parametrize("mixer", MIXERS)
def test_each_equals_running_it_alone(
    probe_registry: Registry, tokenizer: Tokenizer, mixer: str, max_sequences: int
) -> None:
    generator = make_generator(probe_registry, tokenizer, mixer)
    prompts = [generator.prompt(text) for text in PROMPTS]
    settings = [
        GenerationSettings(count, GREEDY, stop_ids=frozenset(), logprobs=2) for count in (30, 9, 100, 1, 17, 40)
    ]
    alone = [generator.generate(ids, each) for ids, each in zip(prompts, settings, strict=True)]
    batched = together(generator, prompts, settings, max_sequences)
    for one, other in zip(alone, batched, strict=True):
        assert other.tokens == one.tokens and other.text == one.text and other.finish_reason == one.finish_reason
        assert other.prompt_tokens == one.prompt_tokens and len(other.logprobs) == len(other.tokens)
        ours = torch.tensor([[each.logprob, *(top.logprob for top in each.top)] for each in one.logprobs])
        theirs = torch.tensor([[each.logprob, *(top.logprob for top in each.top)] for each in other.logprobs])
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    assert batched[2].finish_reason == "context"


def test_seeds_and_penalties_are_each_sequences_own(probe_registry: Registry, tokenizer: Tokenizer) -> None:
    generator = make_generator(probe_registry, tokenizer)
    ids = generator.prompt("x = ")
    random = [SamplingSettings(temperature=2, repetition_penalty=1.5, seed=seed) for seed in (5, 6, 5)]
    settings = [GenerationSettings(20, sampling, stop_ids=frozenset()) for sampling in random]
    first, second, third = together(generator, [ids] * 3, settings, 2)
    assert first.tokens == third.tokens != second.tokens
    assert first.tokens == generator.generate(ids, settings[0]).tokens


def test_stops_leave_while_others_go_on(probe_registry: Registry, tokenizer: Tokenizer) -> None:
    generator = make_generator(probe_registry, tokenizer)
    prompts = [generator.prompt(text) for text in PROMPTS[:3]]
    free = [generator.generate(ids, GenerationSettings(20, GREEDY, stop_ids=frozenset())) for ids in prompts]
    base = GenerationSettings(20, GREEDY, stop_ids=frozenset())
    settings = [
        replace(base, stop=(free[0].text[2:5],)),
        base,
        replace(base, stop_ids=frozenset([free[2].tokens[5]])),
    ]
    batched = together(generator, prompts, settings, 3)
    assert [each.finish_reason for each in batched] == ["stop", "length", "stop"]
    assert batched[0].text == free[0].text[: free[0].text.index(free[0].text[2:5])]
    assert batched[1].tokens == free[1].tokens
    assert batched[2].tokens == free[2].tokens[: free[2].tokens.index(free[2].tokens[5])]


def test_requests_may_come_at_any_time(probe_registry: Registry, tokenizer: Tokenizer) -> None:
    generator = make_generator(probe_registry, tokenizer, "hybrid")
    settings = GenerationSettings(12, GREEDY, stop_ids=frozenset())
    batch = BatchGenerator(generator, 8)
    assert not batch.busy and batch.step() == []
    asked = []
    for text in PROMPTS:
        asked.append(batch.add(generator.prompt(text), settings))
        for _ in range(3):
            batch.step()
    while batch.busy:
        batch.step()
    late = batch.add(generator.prompt("late"), settings)
    while batch.busy:
        batch.step()
    for text, continuation in zip([*PROMPTS, "late"], [*asked, late], strict=True):
        assert continuation.completion.tokens == generator.generate(generator.prompt(text), settings).tokens


def test_a_prompt_that_cannot_be_read_is_refused_at_once(probe_registry: Registry, tokenizer: Tokenizer) -> None:
    batch = BatchGenerator(make_generator(probe_registry, tokenizer), 2)
    with pytest.raises(UsageError, match="49 tokens .* 48"):
        batch.add([1] * 49, GenerationSettings())
    assert not batch.busy


@pytest.mark.parametrize("mixer", MIXERS)
def test_joined_states_can_be_read_in_pieces_and_taken_apart(
    probe_registry: Registry, tokenizer: Tokenizer, mixer: str
) -> None:
    """The contract of `SequenceState`: rows of different lengths, several tokens at a time, rows chosen and forked."""
    model = make_generator(probe_registry, tokenizer, mixer).model
    drawn = torch.Generator().manual_seed(1)
    rows = [torch.randint(600, (1, length), generator=drawn) for length in (3, 11, 7)]
    more = torch.randint(600, (3, 5), generator=drawn)
    states = []
    for row in rows:
        states.append(model.new_states(1))
        model.hidden(row, states=states[-1])
    joined = [type(layer[0]).join(layer) for layer in zip(*states, strict=True)]
    assert joined[0].row_lengths(3) == [3, 11, 7]
    forked = [state.fork() for state in joined]
    whole = [model.hidden(torch.cat([row, more[n : n + 1]], 1))[:, -5:] for n, row in enumerate(rows)]
    torch.testing.assert_close(model.hidden(more, states=joined), torch.cat(whole), rtol=1e-4, atol=1e-5)
    chosen = [state.select([2, 0, 2]) for state in forked]
    assert chosen[0].row_lengths(3) == [7, 3, 7]
    again = model.hidden(more[[2, 0, 2]], states=chosen)
    torch.testing.assert_close(again, torch.cat([whole[2], whole[0], whole[2]]), rtol=1e-4, atol=1e-5)
