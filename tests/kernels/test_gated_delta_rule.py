"""The gated delta rule: naive against transformers' own, chunks against naive, forward, backward and in pieces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nanochat_framework.kernels.naive import gated_delta_rule
from nanochat_kernels.gated_delta_rule import CHUNK, chunked

BATCH, HEADS, KEY_DIM, VALUE_DIM = 2, 3, 8, 5


def _inputs(seq: int, seed: int = 0, forgets: bool = False) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, BATCH, HEADS, seq, KEY_DIM, generator=generator)
    v = torch.randn(BATCH, HEADS, seq, VALUE_DIM, generator=generator)
    decay = -torch.rand(BATCH, HEADS, seq, generator=generator)
    if forgets:
        decay[:, :, ::7] = -40.0
    beta = torch.rand(BATCH, HEADS, seq, generator=generator)
    state = torch.randn(BATCH, HEADS, KEY_DIM, VALUE_DIM, generator=generator)
    return [q, k / k.norm(dim=-1, keepdim=True), v, decay, beta, state]


@pytest.mark.parametrize("function", [gated_delta_rule, chunked])
def test_it_is_transformers_recurrence(function: object) -> None:
    qwen = pytest.importorskip(
        "transformers.models.qwen3_5.modeling_qwen3_5", reason="transformers is the reference of this test"
    )
    q, k, v, decay, beta, state = _inputs(70)
    ours, memory = function(q * KEY_DIM**-0.5, k, v, decay, beta, state)  # type: ignore[operator]
    moved = [x.transpose(1, 2) for x in (q, k, v)]
    theirs, their_memory = qwen.torch_recurrent_gated_delta_rule(
        *moved, g=decay.transpose(1, 2), beta=beta.transpose(1, 2), initial_state=state, output_final_state=True
    )
    torch.testing.assert_close(ours, theirs.transpose(1, 2), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(memory, their_memory, rtol=1e-4, atol=1e-5)


@given(seq=st.integers(1, 2 * CHUNK + 3), seed=st.integers(0, 99), forgets=st.booleans())
def test_chunks_give_what_single_positions_give(seq: int, seed: int, forgets: bool) -> None:
    inputs = _inputs(seq, seed, forgets)
    for one, other in zip(chunked(*inputs), gated_delta_rule(*inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-4)


def test_gradients_agree() -> None:
    gradients = []
    for function in (chunked, gated_delta_rule):
        inputs = [x.double().requires_grad_() for x in _inputs(CHUNK + 9)]
        output, memory = function(*inputs)
        loss = (output * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum() + memory.square().sum()
        gradients.append(torch.autograd.grad(loss, inputs))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("cut", [1, 5, CHUNK, CHUNK + 1])
def test_in_two_pieces(cut: int) -> None:
    *inputs, state = _inputs(CHUNK + 20)
    whole, last = chunked(*inputs, state)
    first, between = chunked(*(x[:, :, :cut] for x in inputs), state)
    second, end = chunked(*(x[:, :, cut:] for x in inputs), between)
    torch.testing.assert_close(torch.cat([first, second], dim=2), whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(end, last, rtol=1e-4, atol=1e-5)
