"""Token filters: plain loss, the exact gradient of the kept tokens, and the rule by which layers leave the others out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nanochat_framework.config.checks import cross_checks
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import IGNORED_TARGET, Batch
from nanochat_framework.model.weight import QuantizableWeight
from nanochat_framework.training.train_module import TrainModule
from nanochat_objectives.collider import Collider
from nanochat_objectives.mtp import MultiTokenPrediction, _ahead
from tests.laws.combinations import changes, random_tokens

Make = Callable[..., RunConfig]
THRESHOLD = 4.6
"""A new model's losses lie around ln 97 = 4.57 nats: about half of its tokens are dropped."""


def _batch() -> Batch:
    tokens = random_tokens(8, 17)
    targets = tokens[:, 1:].clone()
    targets[0, 3:] = IGNORED_TARGET
    targets[5, :9] = IGNORED_TARGET
    return Batch(tokens[:, :-1].contiguous(), targets)


def _module(tiny_config: Make, skip_layers: int = 0, quantizer: str = "float", **more: Any) -> TrainModule:
    token_filter = {"name": "collider", "threshold": THRESHOLD, "skip_layers": skip_layers}
    more = {"objective": [], "train__loss_chunk": 7, "model__embedding_norm": True, **more}
    config = tiny_config(**{**changes("gqa-swiglu-tied", quantizer), **more}, token_filter=token_filter)
    return TrainModule(config, torch.device("cpu"))


def _kept(module: TrainModule, batch: Batch) -> tuple[Tensor, Tensor]:
    """(batch, seq) cross-entropies and whether the filter keeps them, from the whole logits."""
    with torch.no_grad():
        logits = module.model(batch.tokens).flatten(0, 1)
    losses = functional.cross_entropy(logits, batch.targets.flatten(), reduction="none", ignore_index=IGNORED_TARGET)
    losses = losses.view_as(batch.targets)
    assert (losses - THRESHOLD).abs().min() > 1e-5, "a token is at the threshold: choose another"
    kept = (losses >= THRESHOLD) & (batch.targets != IGNORED_TARGET)
    assert 20 < kept.sum() < 80
    return losses, kept


def _compare(module: TrainModule, expected: dict[str, Tensor], clip: float = 1.0) -> None:
    for parameter in module.parameters:
        message = f"{parameter.name}: "
        torch.testing.assert_close(
            parameter.tensor.grad,
            expected[parameter.name] * clip,
            rtol=1e-4,
            atol=1e-7,
            msg=lambda m, name=message: name + m,
        )


@pytest.mark.parametrize("chunk", [7, 1000])
def test_the_gradient_is_that_of_the_kept_tokens(tiny_config: Make, chunk: int) -> None:
    """Of every term, multi-token prediction's too; losses are reported over all tokens; clipping sees what is left."""
    objectives = [{"name": "z_loss", "weight": 0.1}, {"name": "mtp", "weight": 0.3}]
    module = _module(tiny_config, objective=objectives, train__loss_chunk=chunk, train__grad_clip=0.01)
    batch, model, mtp = _batch(), module.model, module.objectives["mtp"]
    assert isinstance(mtp, MultiTokenPrediction)
    losses, kept = _kept(module, batch)
    n_tokens = int((batch.targets != IGNORED_TARGET).sum())
    hidden = model.hidden(batch.tokens)[kept]
    logits = model.logits(hidden)
    trained = functional.cross_entropy(logits, batch.targets[kept], reduction="sum")
    loss = trained + 0.1 * logits.logsumexp(dim=-1).square().sum()
    for place, (share, head) in enumerate(zip(mtp.shares, mtp.heads, strict=True), start=1):
        further = functional.cross_entropy(
            head(hidden), _ahead(batch.targets, place)[kept], reduction="sum", ignore_index=IGNORED_TARGET
        )
        loss = loss + 0.3 * share * further
    wanted = torch.autograd.grad(loss / n_tokens, [p.tensor for p in module.parameters])
    norm = torch.nn.utils.get_total_norm(wanted)
    result = module.step([batch], 1)
    assert result.grad_norm == pytest.approx(float(norm), rel=1e-4)
    _compare(module, dict(zip([p.name for p in module.parameters], wanted, strict=True)), clip=0.01 / float(norm))
    assert result.losses["loss"] == pytest.approx(float(losses.sum()) / n_tokens, rel=1e-5)
    assert result.losses["loss_kept"] == pytest.approx(float(trained.detach()) / n_tokens, rel=1e-5)
    assert result.losses["tokens_kept"] == pytest.approx(int(kept.sum()) / n_tokens)
    terms = 0.1 * result.losses["z_loss"] + 0.3 * result.losses["mtp"]
    assert result.total_loss == pytest.approx(result.losses["loss_kept"] + terms, rel=1e-5)


@pytest.mark.parametrize("quantizer", ["float", "ternary"])
@pytest.mark.parametrize("skip_layers", [1, 2, 9])
@pytest.mark.parametrize("checkpointing", ["none", "block", "selective"])
def test_skipped_layers_take_dropped_tokens_for_constants(
    tiny_config: Make, monkeypatch: pytest.MonkeyPatch, skip_layers: int, quantizer: str, checkpointing: str
) -> None:
    """Against the whole backward pass of a model whose products are cut off at dropped tokens."""
    module = _module(tiny_config, skip_layers, quantizer, train__activation_checkpointing=checkpointing)
    batch = _batch()
    _, kept = _kept(module, batch)
    twin = _module(tiny_config, 0, quantizer)
    product = QuantizableWeight.product_of_rounded

    def cut(self: QuantizableWeight, x: Tensor, x_rounded: Tensor) -> Tensor:
        y = product(self, x, x_rounded)
        skipped = any(self is each for layer in twin.model.blocks[:skip_layers] for each in layer.modules())  # type: ignore[union-attr, index]
        return torch.where(kept[..., None], y, y.detach()) if skipped else y

    monkeypatch.setattr(QuantizableWeight, "product_of_rounded", cut)
    monkeypatch.setattr(QuantizableWeight, "product", lambda self, x: cut(self, x, self.rounded(x)))
    twin.step([batch], 1)
    monkeypatch.undo()
    module.step([batch], 1)
    _compare(module, {p.name: p.tensor.grad for p in twin.parameters})  # type: ignore[misc]
    exact = _module(tiny_config, 0, quantizer)
    exact.step([batch], 1)
    deep = [(p.tensor.grad, q.tensor.grad) for p, q in zip(module.parameters, exact.parameters, strict=True)]
    assert any(not torch.allclose(ours, theirs) for ours, theirs in deep), "nothing was skipped"  # type: ignore[arg-type]


@pytest.mark.parametrize("skip_layers", [0, 2])
@pytest.mark.parametrize("n_micro_batches", [2, 8])
def test_micro_batches_equal_one_batch(tiny_config: Make, skip_layers: int, n_micro_batches: int) -> None:
    batch, gradients, results = _batch(), [], []
    for pieces in (1, n_micro_batches):
        module = _module(tiny_config, skip_layers, objective=["mtp"])
        parts = zip(batch.tokens.chunk(pieces), batch.targets.chunk(pieces), strict=True)
        results.append(module.step([Batch(x, y) for x, y in parts], 1))
        gradients.append({p.name: p.tensor.grad for p in module.parameters})
    _compare(module, gradients[0])  # type: ignore[arg-type]
    assert results[1].losses == pytest.approx(results[0].losses, rel=1e-5)


def test_nothing_kept_is_no_gradient(tiny_config: Make) -> None:
    module = _module(tiny_config, 2)
    batch = _batch()
    assert isinstance(module.head_loss.token_filter, Collider)
    module.head_loss.token_filter.threshold = 100.0
    result = module.step([batch], 1)
    assert result.losses["tokens_kept"] == result.grad_norm == 0.0 < result.losses["loss"]


def test_a_loss_that_is_no_number_is_kept() -> None:
    kept = Collider(0.5).keep(torch.tensor([0.4, 0.5, float("nan"), float("inf")]))
    assert kept.tolist() == [False, True, True, True]


def test_compiled_parts_cannot_skip(tiny_config: Make) -> None:
    for skip_layers, refused in ((0, 0), (1, 1)):
        token_filter = {"name": "collider", "skip_layers": skip_layers}
        config = tiny_config(token_filter=token_filter, train__compile=True)
        problems = cross_checks(config, lambda path: ".".join(map(str, path)))
        assert [problem.path for problem in problems] == ["token_filter.skip_layers"] * refused
