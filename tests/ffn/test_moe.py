"""Mixture of experts: against transformers' Qwen3 and Mixtral, its losses, its capacity, what is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError

from nanochat_ffn.config import MoeConfig
from nanochat_ffn.moe import MixtureOfExperts, build_moe
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.inference.tables import select_quantizers
from nanochat_framework.kernels import table
from nanochat_framework.model.auxiliary import collecting
from nanochat_framework.model.describe import Place
from nanochat_framework.model.quantization import apply_quantizers
from nanochat_framework.plugins import Registry
from nanochat_framework.training.train_module import TrainModule
from tests.compiling import needs_compiler
from tests.laws.combinations import random_tokens

PLACE = Place("blocks.0.ffn.", dim=32, n_layers=2, max_seq_len=16, layer=0)


def _drawn(**settings: object) -> MixtureOfExperts:
    torch.manual_seed(0)
    return build_moe(MoeConfig(**{"n_experts": 8, "hidden_dim": 24, **settings}), place=PLACE)  # type: ignore[arg-type]


def _x() -> torch.Tensor:
    return torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("n_active", [1, 2, 8])
def test_it_is_transformers_qwen3_block(n_active: int) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is the reference of this test")
    from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock

    ours = _drawn(n_active=n_active)
    config = transformers.Qwen3MoeConfig(
        hidden_size=32,
        moe_intermediate_size=24,
        num_experts=8,
        num_experts_per_tok=n_active,
        norm_topk_prob=True,
        hidden_act="silu",
    )
    config._experts_implementation = "eager"
    theirs = Qwen3MoeSparseMoeBlock(config)
    with torch.no_grad():
        theirs.gate.weight.copy_(ours.router.weight)
        for number, expert in enumerate(ours.experts):
            gate_up = torch.cat([expert.gate.weight, expert.up.weight])
            theirs.experts.gate_up_proj[number].copy_(gate_up)
            theirs.experts.down_proj[number].copy_(expert.down.weight)
        found = theirs(_x())
        expected = found[0] if isinstance(found, tuple) else found
        torch.testing.assert_close(ours(_x()), expected.view(3, 5, 32), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared_gate", [False, True])
def test_the_shared_expert_is_added(shared_gate: bool) -> None:
    moe = _drawn(shared_hidden_dim=16, shared_gate=shared_gate)
    assert moe.shared is not None
    with torch.no_grad():
        shared = moe.shared(_x())
        if moe.shared_gate is not None:
            shared = shared * torch.sigmoid(moe.shared_gate(_x()))
        whole = moe(_x())
        moe.shared = None
        torch.testing.assert_close(whole, moe(_x()) + shared)


def test_losses_of_the_router() -> None:
    """Even routing costs 1; the z loss is the squared log-normaliser."""
    moe = _drawn(n_active=8)
    with torch.no_grad():
        moe.router.weight.zero_()
    with collecting() as collected:
        moe(_x())
    [(weight, balance)], [(_, z)] = collected["router_balance"], collected["router_z"]
    assert weight == 0.01
    assert float(balance) == pytest.approx(1.0)
    assert float(z) == pytest.approx(float(torch.tensor(8.0).log() ** 2), rel=1e-5)
    uneven = _drawn(n_active=1)
    with torch.no_grad():
        uneven.router.weight.copy_(torch.zeros(8, 32))
        uneven.router.weight[3] = 1.0
    with collecting() as collected:
        uneven(_x().abs())
    assert float(collected["router_balance"][0][1]) > 4.0


def test_capacity_drops_the_last_in_training_only() -> None:
    moe = _drawn(n_active=1, capacity_factor=1.0)
    with torch.no_grad():
        moe.router.weight.zero_()
        moe.router.weight[2] = 1.0
    x = _x().abs()  # everything goes to expert 2, which may take 15 / 8, rounded up to 2
    dropped = moe.train()(x).flatten(0, 1)
    assert dropped[:2].abs().sum() > 0
    assert not dropped[2:].any()
    assert (moe.eval()(x).flatten(0, 1).abs().sum(dim=1) > 0).all()


def test_experts_train_and_their_load_is_logged(tiny_config: Callable[..., RunConfig]) -> None:
    config = tiny_config(
        model__ffn={"name": "moe", "n_experts": 4, "hidden_dim": 32, "shared_hidden_dim": 32},
        quantizer=[{"match": "matrix", "name": "ternary", "group_size": 32}],
    )
    module = TrainModule(config, torch.device("cpu"))
    quantised = [n for n, m in module.model.named_modules() if getattr(m, "quantizer", None) is not None]
    assert "blocks.0.ffn.experts.3.down" in quantised
    assert not any("router" in name for name in quantised)
    tokens = random_tokens(4, 17)
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    results = [module.step([batch], step) for step in range(1, 13)]
    assert results[-1].losses["loss"] < results[0].losses["loss"]
    load = [results[0].readings[f"expert_load.1.{number}"] for number in range(4)]
    assert sum(load) == pytest.approx(1.0)


@pytest.mark.parametrize("settings", [{"n_active": 9}, {"shared_gate": True}, {"n_experts": 1}])
def test_sizes_that_do_not_fit(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MoeConfig(**{"n_experts": 8, "hidden_dim": 24, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("quantizer", [None, "ternary", "int4"])
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=[pytest.mark.slow, needs_compiler])])
def test_all_experts_at_once_are_the_experts_one_by_one(
    registry: Registry, quantizer: str | None, compiled: bool
) -> None:
    """In bfloat16: results and gradients of the grouped product against each expert's own products."""
    before = table.active()
    table.activate(table.KernelTable(registry))
    try:
        moe = _drawn(n_active=2)
    finally:
        table.activate(before)
    if quantizer:
        rules = select_quantizers([{"match": "matrix", "name": quantizer, "group_size": 32}], "quantizer", registry)
        apply_quantizers(moe, rules)
    x = _x().bfloat16()
    if not moe.gates.supports(x):
        pytest.skip("this torch has no grouped products on a CPU")
    incoming, found = torch.randn_like(x), []
    for together in (True, False):
        if together and compiled:
            for each in (moe.gates, moe.ups, moe.downs):
                each.prepared(torch.bfloat16)
        if not together:
            moe.gates.kernels = table.KernelTable()
        run = torch.compile(moe) if together and compiled else moe
        inputs = x.clone().requires_grad_()
        moe.zero_grad()
        result = run(inputs)
        torch.autograd.backward(result, incoming)
        gradients = {name: parameter.grad for name, parameter in moe.named_parameters()}
        found.append((result.detach(), inputs.grad, gradients))
    (result, grad_x, gradients), (expected, expected_grad_x, expected_gradients) = found
    close = {"rtol": 2e-2, "atol": 2e-2}
    torch.testing.assert_close(result, expected, **close)
    torch.testing.assert_close(grad_x, expected_grad_x, **close)
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, **close, msg=name)
    assert not any("gates" in name or "downs" in name for name in moe.state_dict())
