"""Law 9: reported loss is plain cross-entropy, in nats per token and bits per byte; other terms are logged apart."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import EvaluationBatches
from nanochat_framework.model.build import build_model
from nanochat_framework.training.evaluation import HeldOut
from nanochat_framework.training.train_module import TrainModule
from tests.laws.combinations import changes, random_tokens
from tests.laws.test_law_04_every_parameter_learns import _batch


def test_training_loss_is_plain_cross_entropy_whatever_else_is_optimised(tiny_config: Callable[..., RunConfig]) -> None:
    objectives = [{"name": "z_loss", "weight": 0.5}, {"name": "probe/two_ahead"}]
    config = tiny_config(**changes("top2", "ternary"), objective=objectives)
    module = TrainModule(config, torch.device("cpu"))
    made = _batch(1)
    with torch.no_grad():
        logits = module.model(made.tokens).flatten(0, 1)
        plain = float(functional.cross_entropy(logits, made.targets.flatten()))
        z_loss = float(logits.logsumexp(dim=-1).square().mean())
    result = module.step([made], 1)
    assert result.losses["loss"] == pytest.approx(plain, rel=1e-5)
    assert result.losses["z_loss"] == pytest.approx(z_loss, rel=1e-5)
    assert result.losses.keys() == {"loss", "z_loss", "probe/two_ahead", "router_balance"}
    expected = (
        plain + 0.5 * z_loss + 0.3 * result.losses["probe/two_ahead"] + 2 * 0.01 * result.losses["router_balance"]
    )
    assert result.total_loss == pytest.approx(expected, rel=1e-5)


def test_held_out_scores(tiny_config: Callable[..., RunConfig]) -> None:
    """Bits per byte: text tokens only, each weighted by nothing but its own bytes."""
    model = build_model(tiny_config(**changes("gqa-swiglu-tied")).model)
    ids = random_tokens(1, 50)[0].numpy().astype(np.uint32)
    lengths = np.arange(97) % 4  # every fourth token is special: no bytes
    held_out = HeldOut(EvaluationBatches(ids, seq_len=16, batch_size=2, max_batches=None), lengths)
    scores = held_out.score(model)
    windows = [ids[start : start + 17].astype(np.int64) for start in range(0, 49, 16)]
    nats, text_nats, n_bytes = [], 0.0, 0
    for window in windows:
        tokens = torch.from_numpy(window)
        with torch.no_grad():
            losses = functional.cross_entropy(model(tokens[None, :-1])[0], tokens[1:], reduction="none")
        nats += losses.tolist()
        text_nats += sum(loss for loss, token in zip(losses.tolist(), window[1:], strict=True) if lengths[token])
        n_bytes += int(lengths[window[1:]].sum())
    assert len(nats) == 49
    assert scores["eval/loss"] == pytest.approx(sum(nats) / 49, rel=1e-5)
    assert scores["eval/perplexity"] == pytest.approx(math.exp(sum(nats) / 49), rel=1e-4)
    assert scores["eval/bits_per_byte"] == pytest.approx(text_nats / math.log(2) / n_bytes, rel=1e-5)


def test_a_model_that_knows_nothing_scores_the_size_of_its_vocabulary(tiny_config: Callable[..., RunConfig]) -> None:
    """A uniform predictor over 97 tokens of one byte each: ln 97 nats, log2 97 bits a byte."""
    model = build_model(tiny_config(**changes("gqa-swiglu-tied")).model)
    torch.nn.init.zeros_(model.embedding.weight)
    ids = random_tokens(1, 200)[0].numpy().astype(np.uint32)
    held_out = HeldOut(EvaluationBatches(ids, seq_len=16, batch_size=2, max_batches=None), np.ones(97, dtype=np.int64))
    scores = held_out.score(model)
    assert scores["eval/loss"] == pytest.approx(math.log(97), rel=1e-6)
    assert scores["eval/bits_per_byte"] == pytest.approx(math.log2(97), rel=1e-6)
