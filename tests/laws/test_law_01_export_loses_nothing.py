"""Law 1: export loses nothing. For every attention type, tied and untied, on models that learned a piece of text by heart.

Exported codes and scales are the quantizer's bit for bit; our own reader's logits are the fake-quantised forward's within
1e-5 of their range; stock llama.cpp agrees within 1e-5 on a dequantised float32 twin with activations in float, and on
the ternary file itself, where it rounds activations in its own way, within 0.5 % of the bits per byte and in the most
likely token of 95 % of the positions that are not nearly tied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nanochat_exporters.config import GgufConfig
from nanochat_exporters.gguf.exporter import GgufExporter
from nanochat_framework.contracts.exporter import ExportReport, ModelBundle
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.inference.bundle import bundle_from, model_from_bundle
from nanochat_framework.inference.comparison import EXACT_LOGITS, compare, relative_difference
from nanochat_framework.inference.tables import select_quantizers
from nanochat_framework.model.build import build_model
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.model.weight import QuantizableWeight, for_each_weight
from nanochat_framework.plugins import Registry
from tests.exporters.models import VOCAB_SIZE, build, corpus, float_twin, small_tokenizer, with_weights_of
from tests.laws.llama_cpp import Llama
from tests.threads import one_thread

LLAMA_CASES: dict[str, dict[str, Any]] = {
    f"{attention}-{tied}": {
        "attention": {"name": "gqa", "n_heads": 4, "n_kv_heads": kv_heads, "head_dim": 64},
        "tie_embeddings": tied == "tied",
    }
    for attention, kv_heads in (("mha", 4), ("gqa", 2))
    for tied in ("tied", "untied")
}
LLAMA_CASES["groups-of-128"] = LLAMA_CASES["gqa-tied"]  # no ternary type holds these; they go into Q4_0 blocks
QWEN3_CASES: dict[str, dict[str, Any]] = {
    f"qwen3-{tied}": {
        "attention": {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 32, "qk_norm": True},
        "tie_embeddings": tied == "tied",
    }
    for tied in ("tied", "untied")
}
EXPERTS = {"name": "moe", "n_experts": 4, "n_active": 2, "hidden_dim": 256}
LLAMA_CASES["llama-experts"] = {"attention": LLAMA_CASES["gqa-tied"]["attention"], "ffn": EXPERTS}
QWEN3_MOE_CASES: dict[str, dict[str, Any]] = {
    f"qwen3moe-{tied}": {**QWEN3_CASES[f"qwen3-{tied}"], "ffn": EXPERTS} for tied in ("tied", "untied")
}
GATED = {**QWEN3_CASES["qwen3-tied"]["attention"], "output_gate": True}
DELTANET = {"name": "deltanet", "n_heads": 2, "n_value_heads": 4, "head_dim": 64}
HYBRID = {"name": "hybrid", "pattern": ["linear", "full"], "full": GATED, "linear": DELTANET}
QWEN35_CASES: dict[str, dict[str, Any]] = {
    "qwen35-tied": {"attention": HYBRID},
    "qwen35-untied-one-head-each": {
        "attention": {**HYBRID, "linear": {**DELTANET, "n_value_heads": 2, "head_dim": 128}},
        "tie_embeddings": False,
    },
    # value heads move with parts of scale groups, the layers follow no interval, and heads turn in part
    "qwen35-groups-apart": {
        "attention": {
            **HYBRID,
            "pattern": ["full", "linear"],
            "full": {**GATED, "rotary_dim": 12},
            "linear": {**DELTANET, "n_value_heads": 8},
        }
    },
}
QWEN35_MOE_CASES: dict[str, dict[str, Any]] = {
    f"qwen35moe-{tied}": {
        "attention": HYBRID,
        "ffn": {**EXPERTS, "shared_hidden_dim": 512, "shared_gate": True},
        "tie_embeddings": tied == "tied",
    }
    for tied in ("tied", "untied")
}
STOCK_CASES = {**LLAMA_CASES, **QWEN3_CASES, **QWEN3_MOE_CASES, **QWEN35_CASES, **QWEN35_MOE_CASES}
DIALECT_CASES: dict[str, dict[str, Any]] = {
    "relu2": {"ffn": {"name": "relu2", "hidden_dim": 512}, "norm": {"name": "rms", "affine": False}},
    "recurrent-untied": {"attention": {"name": "probe/recurrent"}, "tie_embeddings": False},
    "two-streams": {"residual": {"name": "probe/two_streams"}},
    "value-embeddings": {"value_embeddings": {}, "n_layers": 3},
    "mhc-dynamic": {"residual": {"name": "mhc", "dynamic": True}},
    "shared-expert": {
        "ffn": {"name": "moe", "n_experts": 4, "hidden_dim": 256, "shared_hidden_dim": 256, "shared_gate": True}
    },
    "expert-bias": {"ffn": {**EXPERTS, "bias_update_speed": 0.001}},
    "hybrid": {"attention": {**HYBRID, "full": QWEN3_CASES["qwen3-tied"]["attention"]}},
}
ARCHITECTURES = {
    "llama": LLAMA_CASES,
    "qwen3": QWEN3_CASES,
    "qwen3moe": QWEN3_MOE_CASES,
    "qwen35": QWEN35_CASES,
    "qwen35moe": QWEN35_MOE_CASES,
    "nanochat": DIALECT_CASES,
}
STOCK_PARAMETERS = [
    pytest.param(case, marks=pytest.mark.slow) if case in ("qwen3moe-untied", "qwen35moe-untied") else case
    for case in STOCK_CASES
]
N_JUDGED = 64
"""Positions at which llama.cpp is asked."""
N_LEARNED = 40
"""Tokens of those that models are trained on: there they are sure of many different tokens, on the rest of them they are not."""
NEARLY_TIED = 0.05
"""Two tokens are nearly tied where their log probabilities differ by less than this many nats."""
ENOUGH = 32
"""So many positions must not be nearly tied, or agreement on them would say little."""
VARIED = 16
"""So many different tokens must be the most likely one somewhere, for the same reason."""


@dataclass(frozen=True)
class Trained:
    """A model in its training form (master weights and live quantizer), what it was made from, and tokens to judge it by."""

    model: LanguageModel
    bundle: ModelBundle
    tokens: list[int]
    n_bytes: int


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    """One."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """600 tokens; the models have 608 rows."""
    return small_tokenizer()


@pytest.fixture(scope="module")
def trained(probe_registry: Registry, tokenizer: Tokenizer) -> Callable[[str], Trained]:
    """`trained(case)`: trained once a module."""
    made: dict[str, Trained] = {}
    judged = [tokenizer.bos_id, *tokenizer.encode(corpus())[-N_JUDGED + 1 :]]
    n_bytes = len(tokenizer.decode_bytes(judged))

    def train(case: str) -> Trained:
        if case not in made:
            parts = {**STOCK_CASES, **DIALECT_CASES}[case]
            model, bundle = build(probe_registry, _ternary(case), **parts)
            _train(model, torch.tensor([judged[:N_LEARNED]]))
            bundle = replace(with_weights_of(model, bundle), tokenizer=tokenizer)
            made[case] = Trained(model.requires_grad_(False), bundle, judged, n_bytes)
        return made[case]

    return train


def _architecture(case: str) -> str:
    """The one it must be written for."""
    return next(name for name, cases in ARCHITECTURES.items() if case in cases)


def _ternary(case: str, activation_bits: int = 8) -> list[dict[str, Any]]:
    """The `[[quantizer]]` tables of a case."""
    group_size = 128 if case == "groups-of-128" else 256
    return [{"match": "matrix", "name": "ternary", "group_size": group_size, "activation_bits": activation_bits}]


@torch.enable_grad()
def _train(model: LanguageModel, batch: Tensor, steps: int = 16) -> None:
    """A few steps of AdamW on the same tokens (batch, seq), so that weights and logits have structure."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    for _ in range(steps):
        logits = model(batch[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


def _export(bundle: ModelBundle, path: Path, architecture: str) -> Path:
    GgufExporter(GgufConfig(architecture=architecture)).export(bundle, path)  # type: ignore[arg-type]
    return path


def _log_probabilities(model: LanguageModel, tokens: list[int]) -> npt.NDArray[np.float32]:
    with torch.no_grad():
        logits = model(torch.tensor([tokens]))[0]
    rows: npt.NDArray[np.float32] = torch.log_softmax(logits, dim=-1).numpy()
    return rows


@pytest.mark.parametrize("case", [*STOCK_PARAMETERS, *DIALECT_CASES])
@torch.no_grad()
def test_our_reader_gets_back_every_bit(
    trained: Callable[[str], Trained], probe_registry: Registry, tmp_path: Path, case: str
) -> None:
    subject = trained(case)
    architecture = _architecture(case)
    again = bundle_from(_export(subject.bundle, tmp_path / "model.gguf", architecture), probe_registry)
    linears: dict[str, QuantizableWeight] = {}
    for_each_weight(subject.model, linears.__setitem__)
    n_compared = 0
    for name, tensor in again.tensors.items():
        if not isinstance(tensor, QuantizedWeight):
            continue
        linear = linears[name]
        assert linear.quantizer is not None
        expected = linear.quantizer.quantize(linear.weight.detach())
        assert torch.equal(tensor.codes, expected.codes)
        assert torch.equal(tensor.scales.view(torch.int32), expected.scales.view(torch.int32))
        n_compared += 1
    assert n_compared == sum(linear.quantizer is not None for linear in linears.values()) > 0
    assert compare(subject.bundle, again).exact
    tokens = torch.tensor([subject.tokens])
    difference = relative_difference(subject.model(tokens), model_from_bundle(again)(tokens))
    assert difference <= EXACT_LOGITS
    assert again.tokenizer is not None and subject.bundle.tokenizer is not None
    assert again.tokenizer.fingerprint == subject.bundle.tokenizer.fingerprint


@pytest.mark.parametrize("case", STOCK_PARAMETERS)
def test_llama_cpp_agrees_on_the_float_twin(
    trained: Callable[[str], Trained], probe_registry: Registry, tmp_path: Path, case: str
) -> None:
    subject = trained(case)
    path = _export(float_twin(subject.bundle), tmp_path / "twin.gguf", _architecture(case))
    theirs = Llama(path).log_probabilities(subject.tokens, VOCAB_SIZE)
    ours = _with_float_activations(subject, case, probe_registry)
    difference = np.abs(theirs - ours).max() / (ours.max() - ours.min())
    assert difference <= EXACT_LOGITS


@pytest.mark.parametrize("case", ["qwen35-groups-apart", "qwen35moe-tied"])
def test_llama_cpp_agrees_on_a_prompt_read_at_once(
    trained: Callable[[str], Trained], probe_registry: Registry, tmp_path: Path, case: str
) -> None:
    """It then goes through delta nets in chunks of positions, not one by one."""
    subject = trained(case)
    path = _export(float_twin(subject.bundle), tmp_path / "twin.gguf", _architecture(case))
    theirs = Llama(path).log_probabilities_after(subject.tokens, VOCAB_SIZE)
    ours = _with_float_activations(subject, case, probe_registry)
    assert np.abs(theirs - ours[-1]).max() <= EXACT_LOGITS * (ours.max() - ours.min())


def _with_float_activations(subject: Trained, case: str, registry: Registry) -> npt.NDArray[np.float32]:
    """Our log probabilities on the tokens, where activations are not rounded."""
    float_activations = select_quantizers(_ternary(case, activation_bits=0), "quantizer", registry)
    model = build_model(subject.bundle.model, float_activations).eval()
    model.load_state_dict(subject.model.state_dict())
    return _log_probabilities(model, subject.tokens)


@pytest.mark.parametrize("case", STOCK_PARAMETERS)
def test_llama_cpp_runs_the_ternary_file(trained: Callable[[str], Trained], tmp_path: Path, case: str) -> None:
    subject = trained(case)
    path = _export(subject.bundle, tmp_path / "ternary.gguf", _architecture(case))
    theirs = Llama(path).log_probabilities(subject.tokens, VOCAB_SIZE)
    _expect_agreement(_log_probabilities(subject.model, subject.tokens), theirs, subject)


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("gqa-tied", {"ternary_type": "tq1_0"}),
        ("gqa-tied", {"ternary_type": "q4_0"}),
        ("gqa-untied", {"embedding_type": "f16", "head_type": "q6_k"}),
        ("gqa-untied", {"embedding_type": "q4_0", "head_type": "q8_0"}),
        ("qwen3-untied", {"embedding_type": "bf16", "head_type": "q4_0"}),
    ],
)
def test_three_ways_agree_on_every_storage(
    trained: Callable[[str], Trained],
    probe_registry: Registry,
    tmp_path: Path,
    case: str,
    options: dict[str, str],
) -> None:
    """Our forward, our reader of the file and llama.cpp; where tables are rounded, our forward has the rounded ones."""
    subject = trained(case)
    path = tmp_path / "model.gguf"
    report = GgufExporter(GgufConfig.model_validate(options)).export(subject.bundle, path)
    again = bundle_from(path, probe_registry)
    assert compare(subject.bundle, again, report.rounded).as_asked
    ours = _log_probabilities(model_from_bundle(_with_rounded_tables(subject.bundle, report)), subject.tokens)
    read_back = _log_probabilities(model_from_bundle(again), subject.tokens)
    assert np.abs(read_back - ours).max() <= EXACT_LOGITS * (ours.max() - ours.min())
    _expect_agreement(ours, Llama(path).log_probabilities(subject.tokens, VOCAB_SIZE), subject)


@pytest.mark.parametrize("kind", ["f16", "bf16", "q8_0"])
def test_three_ways_agree_on_plain_files(
    trained: Callable[[str], Trained], probe_registry: Registry, tmp_path: Path, kind: str
) -> None:
    """The float twin with every matrix rounded to one type."""
    subject = trained("qwen3-tied")
    bundle, path = float_twin(subject.bundle), tmp_path / "model.gguf"
    report = GgufExporter(GgufConfig.model_validate({"type": kind})).export(bundle, path)
    again = bundle_from(path, probe_registry)
    assert compare(bundle, again, report.rounded).as_asked
    ours = _log_probabilities(model_from_bundle(_with_rounded_tables(bundle, report)), subject.tokens)
    assert np.array_equal(_log_probabilities(model_from_bundle(again), subject.tokens), ours)
    _expect_agreement(ours, Llama(path).log_probabilities(subject.tokens, VOCAB_SIZE), subject)


def _with_rounded_tables(bundle: ModelBundle, report: ExportReport) -> ModelBundle:
    tensors = dict(bundle.tensors)
    for name, rounding in report.rounded.items():
        tensor = tensors[name]
        assert isinstance(tensor, Tensor)
        tensors[name] = rounding.apply(tensor)
    return replace(bundle, tensors=tensors)


def _expect_agreement(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32], subject: Trained) -> None:
    """Bits per byte within 0.5 %, and the most likely token the same wherever two are not nearly tied."""
    targets = np.array(subject.tokens[1:])
    bits = [
        -rows[np.arange(len(targets)), targets].sum() / np.log(2) / subject.n_bytes for rows in (ours[:-1], theirs[:-1])
    ]
    best = np.sort(ours, axis=-1)
    clear = best[:, -1] - best[:, -2] >= NEARLY_TIED
    agreement = (ours.argmax(-1) == theirs.argmax(-1))[clear].mean()
    assert abs(bits[1] - bits[0]) <= 0.005 * bits[0]
    assert clear.sum() >= ENOUGH and len(set(ours.argmax(-1)[clear])) >= VARIED
    assert agreement >= 0.95
