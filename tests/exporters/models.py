"""Small models as bundles, for the tests of exporters and importers."""

from __future__ import annotations

from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from nanochat_framework.cli import main
from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.inference.bundle import tensors_of
from nanochat_framework.inference.tables import select_model, select_quantizers
from nanochat_framework.model.build import build_model
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registry

REPOSITORY = Path(__file__).resolve().parent.parent.parent
VOCAB_SIZE = 608
"""Rows of the embedding; the tokenizer has 600 tokens, so eight rows are unused."""
TERNARY = [{"match": "matrix", "name": "ternary", "group_size": 256}]


def corpus() -> str:
    """Text that is always there: the core's own source."""
    files = sorted((REPOSITORY / "nanochat_framework" / "model").glob("*.py"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def small_tokenizer() -> Tokenizer:
    """600 tokens, trained on the corpus."""
    return Tokenizer.train([corpus()], 600)


def prepare_corpus(folder: Path, n_documents: int | None = None) -> Path:
    """A data folder of the corpus in many short documents (or the first so many), in the small tokenizer's tokens.

    The same documents are held out each time: that goes by their paths as given.
    """
    folder = folder.absolute()
    with TemporaryDirectory() as temporary, chdir(temporary):
        texts, tokenizer = Path("texts"), Path("tokenizer.json")
        texts.mkdir()
        for number, part in enumerate(corpus().split("\n\n\n")[:n_documents]):
            (texts / f"{number}.txt").write_text(part)
        tokenizer.write_text(small_tokenizer().to_json())
        assert main(["prepare-data", "--text", str(texts), "--tokenizer", str(tokenizer), "--output", str(folder)]) == 0
    return folder


def model_table(**changes: Any) -> dict[str, Any]:
    """A `[model]` table of a decoder that llama can carry, with keys of parts replaced."""
    table: dict[str, Any] = {
        "name": "decoder",
        "dim": 256,
        "n_layers": 2,
        "vocab_size": VOCAB_SIZE,
        "max_seq_len": 256,
        "tie_embeddings": True,
        "attention": {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 64},
        "ffn": {"name": "swiglu", "hidden_dim": 512},
        "norm": {"name": "rms"},
        "residual": {"name": "add"},
    }
    return {**table, **changes}


def build(registry: Registry, quantizers: list[dict[str, Any]], **changes: Any) -> tuple[LanguageModel, ModelBundle]:
    """A model with fresh weights, norms other than 1, and its bundle (without a tokenizer)."""
    selected = select_model(model_table(**changes), "model", registry)
    rules = select_quantizers(quantizers, "quantizer", registry)
    model = build_model(selected, rules, seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    for parameter in named_parameters(model):
        if parameter.role == "norm":
            parameter.tensor.data += 0.2 * torch.randn(parameter.tensor.shape, generator=generator)
    empty = ModelBundle(selected, rules, selected.config.describe(), {}, None, {"name": "small"})
    return model, with_weights_of(model, empty)


def with_weights_of(model: LanguageModel, bundle: ModelBundle) -> ModelBundle:
    """The bundle with the model's present weights, codes and scales where a quantizer makes them."""
    return replace(bundle, tensors=tensors_of(model))


def float_twin(bundle: ModelBundle) -> ModelBundle:
    """The same model with every weight as the number its code and scale stand for, and nothing quantised."""
    tensors = {name: t.dequantize() if isinstance(t, QuantizedWeight) else t for name, t in bundle.tensors.items()}
    return replace(bundle, tensors=tensors, quantizers=())
