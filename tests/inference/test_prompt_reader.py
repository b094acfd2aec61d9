"""Prompts that begin as the one before are not read again."""

from __future__ import annotations

import pytest
import torch

from nanochat_framework.inference import prompt_reader
from nanochat_framework.inference.prefix import read_prompt
from nanochat_framework.inference.prompt_reader import PromptReader
from nanochat_framework.plugins import Registry
from tests.inference.test_engine import make_model


def test_only_what_is_new_is_read(probe_registry: Registry) -> None:
    model = make_model(probe_registry, max_seq_len=64)
    reader = PromptReader(model)
    for tokens, expected in (([1, 2, 3], 3), ([1, 2, 3], 0), ([1, 2, 3, 9, 8], 2), ([1, 2], 2), ([7, 2, 3], 3)):
        prefix = reader.read(tokens)
        assert prefix is not None and prefix.tokens == tuple(tokens) and reader.n_new == expected
        torch.testing.assert_close(prefix.logits, read_prompt(model, tokens).logits, rtol=1e-4, atol=1e-5)


def test_reading_is_given_up_between_two_chunks(probe_registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(probe_registry, max_seq_len=64)
    reader, looks = PromptReader(model), [False, True]
    monkeypatch.setattr(prompt_reader, "CHUNK", 16)
    assert reader.read(list(range(40)), stopped=lambda: looks.pop(0)) is None
    assert looks == []
    whole = reader.read(list(range(40)))
    assert whole is not None
    torch.testing.assert_close(whole.logits, read_prompt(model, list(range(40))).logits, rtol=1e-4, atol=1e-5)
