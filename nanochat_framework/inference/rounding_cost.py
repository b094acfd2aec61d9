"""What narrower storage costs: bytes of a file against bits per byte of held-out text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
from torch import Tensor

from nanochat_framework.contracts.exporter import ExportReport, ModelBundle, Rounding
from nanochat_framework.data.loader import EvaluationBatches
from nanochat_framework.data.progress import ProgressFactory, unseen
from nanochat_framework.data.token_store import TokenStore
from nanochat_framework.inference.bundle import model_from_bundle
from nanochat_framework.training.evaluation import HeldOut

HELD_OUT = "val.bin"
MOST_TOKENS = 16_384
"""Held-out tokens that are scored: the same for every form, so that small differences show."""
_BATCH = 8
_FLOAT32 = 4


@dataclass(frozen=True)
class CostRow:
    """One form of the model: what it is, bytes of the file in this form, bits per byte of held-out text."""

    form: str
    n_bytes: int
    bits_per_byte: float


def rounding_costs(
    bundle: ModelBundle, read_back: ModelBundle, report: ExportReport, data: Path, progress: ProgressFactory = unseen
) -> list[CostRow]:
    """The model as trained, with each group of tensors rounded alone, and as the file has it.

    Tables are groups of their own, all other tensors of one type are one. The first up to 16 384 tokens of `val.bin`
    in the data folder are scored; `progress` counts forms. Raises UsageError if that was made with another tokenizer,
    or cannot be read.
    """
    held_out = _held_out(bundle, data)
    groups = _groups(bundle, report.rounded)
    saved = {form: sum(_saving(bundle, name, r) for name, r in group.items()) for form, group in groups.items()}
    exact = report.n_bytes + sum(saved.values())
    alone = groups if len(groups) > 1 else {}
    with progress("bits per byte", 2 + len(alone)) as bar:

        def row(form: str, n_bytes: int, subject: ModelBundle) -> CostRow:
            scores = held_out.score(model_from_bundle(subject))
            bar.advance(1)
            return CostRow(form, n_bytes, scores["eval/bits_per_byte"])

        rows = [row("as trained", exact, bundle)]
        rows += [row(form, exact - saved[form], _rounded(bundle, group)) for form, group in alone.items()]
        return [*rows, row("this file", report.n_bytes, read_back)]


def _held_out(bundle: ModelBundle, data: Path) -> HeldOut:
    assert bundle.tokenizer is not None
    description = bundle.description
    tokens = TokenStore.open(data / HELD_OUT, tokenizer=bundle.tokenizer).tokens[: MOST_TOKENS + 1]
    lengths = np.zeros(description.vocab_size, dtype=np.int64)
    lengths[: bundle.tokenizer.vocab_size] = bundle.tokenizer.byte_lengths
    seq_len = min(description.max_seq_len, MOST_TOKENS)
    batches = EvaluationBatches(tokens, seq_len=seq_len, batch_size=_BATCH, max_batches=None)
    return HeldOut(batches, lengths)


def _groups(bundle: ModelBundle, rounded: Mapping[str, Rounding]) -> dict[str, dict[str, Rounding]]:
    """What is rounded, by what the person reads of it."""
    description = bundle.description
    tables = {description.embedding.weight.name, *([description.head.weight.name] if description.head else [])}
    groups: dict[str, dict[str, Rounding]] = {}
    for name, rounding in rounded.items():
        what = name if name in tables else "matrices"
        groups.setdefault(f"{what} in {rounding.type_name}", {})[name] = rounding
    return groups


def _saving(bundle: ModelBundle, name: str, rounding: Rounding) -> int:
    return _FLOAT32 * prod(bundle.tensors[name].shape) - rounding.n_bytes


def _rounded(bundle: ModelBundle, group: Mapping[str, Rounding]) -> ModelBundle:
    tensors = dict(bundle.tensors)
    for name, rounding in group.items():
        tensor = tensors[name]
        tensors[name] = rounding.apply(tensor if isinstance(tensor, Tensor) else tensor.dequantize())
    return replace(bundle, tensors=tensors)
