"""Documents in a row: every form says the same, and each document gets what it gets alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model.build import build_model
from nanochat_framework.model.documents import Documents
from tests.laws.combinations import COMBINATIONS, changes, random_tokens

ROW_LENGTHS = [[9, 1, 13, 7], [30], [1, 28, 1]]


def _documents(rows: list[list[int]]) -> Documents:
    return Documents(torch.stack([torch.arange(len(row)).repeat_interleave(torch.tensor(row)) for row in rows]))


@given(st.lists(st.lists(st.integers(1, 6), min_size=3, max_size=3), min_size=1, max_size=4))
def test_the_forms_agree(rows: list[list[int]]) -> None:
    seq = max(map(sum, rows))
    rows = [[*row, seq - sum(row)] if sum(row) < seq else row for row in rows]
    documents = _documents(rows)
    assert documents.lengths == [length for row in rows for length in row]
    assert documents.positions.flatten().tolist() == [place for length in documents.lengths for place in range(length)]
    assert torch.equal(documents.starts, documents.positions == 0)
    blocks = [torch.block_diag(*(torch.ones(n, n).tril() for n in row)) for row in rows]
    assert torch.equal(documents.mask, torch.stack(blocks)[:, None].bool())


@pytest.mark.parametrize("shortest", [0, 10**6], ids=["one by one", "mask"])
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_each_document_gets_what_it_gets_alone(
    tiny_config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, combination: str, shortest: int
) -> None:
    """Outputs and gradients, of attention by either way and of the recurrence."""
    monkeypatch.setattr("nanochat_attention.within_documents.SHORTEST_APART", shortest)
    model = build_model(tiny_config(**changes(combination)).model).eval()
    tokens = random_tokens(len(ROW_LENGTHS), 30)
    together = model(tokens, documents=_documents(ROW_LENGTHS))
    weight = torch.randn(together.shape, generator=torch.Generator().manual_seed(1))
    (together * weight).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for row, lengths in enumerate(ROW_LENGTHS):
        pieces = zip(*(x[row : row + 1].split(lengths, dim=1) for x in (tokens, together, weight)), strict=True)
        for piece, expected, factor in pieces:
            alone = model(piece)
            torch.testing.assert_close(alone, expected, rtol=0, atol=1e-5)
            (alone * factor).sum().backward()
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None
        assert (parameter.grad - gradients[name]).abs().max() < 1e-5 * largest, name


def test_moving_keeps_them_apart() -> None:
    documents = _documents([[2, 3]])
    assert documents.to(torch.device("cpu")) is documents
    assert documents.to(torch.device("meta")).starts.shape == (1, 5)
