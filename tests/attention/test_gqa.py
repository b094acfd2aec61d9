"""Options of softmax attention: against transformers' Qwen3, Qwen3.5 and Mistral."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nanochat_attention.config import GqaConfig
from nanochat_attention.gqa import GroupedQueryAttention, build_gqa
from nanochat_framework.model.describe import Place
from nanochat_framework.model.state import new_positions

transformers = pytest.importorskip("transformers", reason="transformers is the reference of these tests")

PLACE = Place("blocks.0.attention.", dim=32, n_layers=2, max_seq_len=64, layer=0)
SIZES = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_hidden_layers": 1,
    "intermediate_size": 32,
    "vocab_size": 50,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "attn_implementation": "eager",
}


def _ours(**settings: object) -> GroupedQueryAttention:
    torch.manual_seed(0)
    ours = build_gqa(GqaConfig(n_heads=4, n_kv_heads=2, head_dim=8, **settings), place=PLACE)  # type: ignore[arg-type]
    with torch.no_grad():
        for gain in (ours.query_norm, ours.key_norm):
            if gain is not None:
                gain.uniform_(0.5, 1.5)
    return ours


def _copy(ours: GroupedQueryAttention, theirs: nn.Module) -> None:
    for name, part in {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "output"}.items():
        getattr(theirs, name).weight.copy_(getattr(ours, part).weight)


def _x(seq: int = 20) -> Tensor:
    return torch.randn(2, seq, 32, generator=torch.Generator().manual_seed(1))


def _layer(model: nn.Module, x: Tensor) -> Tensor:
    """Output of a one-layer model's attention on given inputs, with the model's own mask and rotary tables."""
    found: dict[str, Tensor] = {}
    attention = model.layers[0].self_attn

    def replace(module: nn.Module, arguments: tuple[object, ...], options: dict[str, object]) -> tuple[object, object]:
        return (), {**options, "hidden_states": x}

    def keep(module: nn.Module, arguments: object, output: tuple[Tensor, object]) -> None:
        found["output"] = output[0]

    attention.register_forward_pre_hook(replace, with_kwargs=True)
    attention.register_forward_hook(keep)
    model(inputs_embeds=x, use_cache=False)
    return found["output"]


def test_normed_heads_are_qwen3s() -> None:
    ours = _ours(qk_norm=True, rope_theta=5000.0)
    model = transformers.Qwen3Model(transformers.Qwen3Config(**SIZES, rope_theta=5000.0))
    with torch.no_grad():
        attention = model.layers[0].self_attn
        _copy(ours, attention)
        attention.q_norm.weight.copy_(ours.query_norm)
        attention.k_norm.weight.copy_(ours.key_norm)
        expected = _layer(model, _x())
        torch.testing.assert_close(
            ours(_x(), new_positions(0, 20, torch.device("cpu"))), expected, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("window", [1, 5, 20, 30])
def test_the_window_is_mistrals(window: int) -> None:
    ours = _ours(window=window)
    model = transformers.MistralModel(transformers.MistralConfig(**SIZES, sliding_window=window))
    with torch.no_grad():
        _copy(ours, model.layers[0].self_attn)
        expected = _layer(model, _x())
        torch.testing.assert_close(
            ours(_x(), new_positions(0, 20, torch.device("cpu"))), expected, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("pieces", [[1] * 20, [7, 13], [19, 1], [3, 1, 16]])
def test_a_window_decodes_as_it_trains(pieces: list[int]) -> None:
    ours, x = _ours(window=5, qk_norm=True, output_gate=True), _x()
    with torch.no_grad():
        whole = ours(x, new_positions(0, 20, x.device))
        state, outputs, start = ours.new_state(2), [], 0
        for size in pieces:
            outputs.append(ours(x[:, start : start + size], new_positions(start, size, x.device), state=state))
            start += size
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole, rtol=1e-4, atol=1e-5)


def test_the_gate_is_a_sigmoid_on_the_mixture() -> None:
    """Rows of zeros halve everything; large ones leave it as it is."""
    ours = _ours(output_gate=True)
    plain = _ours()
    positions = new_positions(0, 20, torch.device("cpu"))
    assert ours.gate is not None
    with torch.no_grad():
        for part in ("query", "key", "value", "output"):
            getattr(plain, part).weight.copy_(getattr(ours, part).weight)
        ours.gate.weight.zero_()
        torch.testing.assert_close(ours(_x(), positions), 0.5 * plain(_x(), positions))


@pytest.mark.parametrize("turned", [2, 4, 8])
def test_the_gate_and_partial_rotation_are_qwen35s(turned: int) -> None:
    """Its gate stands behind each head's query in one matrix, and its norms count from 1."""
    ours = _ours(output_gate=True, qk_norm=True, rotary_dim=turned, rope_theta=5000.0)
    rope = {"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": turned / 8}
    config = transformers.Qwen3_5TextConfig(**SIZES, layer_types=["full_attention"], rope_parameters=rope)
    model = transformers.Qwen3_5TextModel(config)
    theirs = model.layers[0].self_attn
    assert ours.gate is not None and ours.query_norm is not None and ours.key_norm is not None
    with torch.no_grad():
        both = torch.stack([ours.query.weight.view(4, 8, 32), ours.gate.weight.view(4, 8, 32)], dim=1)
        theirs.q_proj.weight.copy_(both.view(-1, 32))
        for name, part in {"k_proj": "key", "v_proj": "value", "o_proj": "output"}.items():
            getattr(theirs, name).weight.copy_(getattr(ours, part).weight)
        theirs.q_norm.weight.copy_(ours.query_norm - 1)
        theirs.k_norm.weight.copy_(ours.key_norm - 1)
        x = _x()
        expected = _layer(model, x)
        actual = ours(x, new_positions(0, x.shape[1], x.device))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_no_more_channels_turn_than_there_are() -> None:
    with pytest.raises(ValueError, match="rotary_dim 10 is more than head_dim 8"):
        _ours(rotary_dim=10)
