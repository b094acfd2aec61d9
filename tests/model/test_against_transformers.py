"""The decoder against transformers' Llama: the same weights give the same logits, and the same training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.model.build import build_model
from nanochat_framework.training.head_loss import HeadLoss
from tests.laws.combinations import random_tokens

transformers = pytest.importorskip("transformers", reason="transformers is the reference of this test")

NAMES = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn.gate": "mlp.gate_proj",
    "ffn.up": "mlp.up_proj",
    "ffn.down": "mlp.down_proj",
}
"""Our names of a block's parts, and Llama's."""


def _pair(tiny_config: Callable[..., RunConfig], n_kv_heads: int, tied: bool) -> tuple[LanguageModel, nn.Module]:
    attention = {"name": "gqa", "n_heads": 4, "n_kv_heads": n_kv_heads, "head_dim": 16}
    config = tiny_config(
        model__attention=attention, model__tie_embeddings=tied, model__norm={"name": "rms", "eps": 1e-5}
    )
    ours = build_model(config.model, seed=3)
    llama_config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=n_kv_heads,
        head_dim=16,
        vocab_size=97,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        tie_word_embeddings=tied,
        attn_implementation="eager",
    )
    theirs = transformers.LlamaForCausalLM(llama_config)
    theirs.load_state_dict(_translated(ours, tied), strict=not tied)
    return ours, theirs


def _translated(ours: LanguageModel, tied: bool) -> dict[str, torch.Tensor]:
    weights = {name: parameter.detach().clone() for name, parameter in ours.named_parameters()}
    named: dict[str, Any] = {
        "model.embed_tokens.weight": weights["embedding.weight"],
        "model.norm.weight": weights["final_norm.weight"],
    }
    if not tied:
        named["lm_head.weight"] = weights["head.weight"]
    for layer in range(2):
        for part, theirs in NAMES.items():
            named[f"model.layers.{layer}.{theirs}.weight"] = weights[f"blocks.{layer}.{part}.weight"]
    return named


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
def test_logits_agree(tiny_config: Callable[..., RunConfig], n_kv_heads: int, tied: bool) -> None:
    ours, theirs = _pair(tiny_config, n_kv_heads, tied)
    tokens = random_tokens(2, 40)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_fifty_training_steps_agree(tiny_config: Callable[..., RunConfig], tied: bool) -> None:
    """Per-step float32 losses within 1e-4 over 50 steps, with the same optimizer and batches."""
    ours, theirs = _pair(tiny_config, 2, tied)
    head = HeadLoss(ours, {}, 20)
    optimizers = [torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1) for model in (ours, theirs)]
    first = last = 0.0
    for step in range(50):
        tokens = random_tokens(4, 25, seed=step % 5)
        targets = tokens[:, 1:].contiguous()
        for optimizer in optimizers:
            optimizer.zero_grad()
        sums = head.backward(ours.hidden(tokens[:, :-1]), targets, {"loss": float(targets.numel())})
        our_loss = float(sums["loss"]) / targets.numel()
        logits = theirs(tokens[:, :-1]).logits
        their_loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        their_loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        assert our_loss == pytest.approx(float(their_loss), abs=1e-4), f"step {step}"
        first, last = (our_loss, our_loss) if step == 0 else (first, our_loss)
    assert last < 0.7 * first, "the comparison is worth something only if the model learned"
