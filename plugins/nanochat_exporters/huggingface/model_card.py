"""`README.md` of a folder: what the model is, in facts that its checkpoint knows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nanochat_framework import __version__
from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.model.description import MixtureOfExperts, ModelDescription, SoftmaxAttention

_FRONT = """\
---
library_name: transformers
pipeline_tag: text-generation
{license}tags:
- nanochat-framework
---

# {name}

{sentence}

| | |
|---|---|
{rows}

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained({folder})
{tokenizer}```

{notes}
"""


def model_card(
    bundle: ModelBundle, *, name: str, class_name: str, license_name: str | None, folder: str, notes: Sequence[str]
) -> str:
    """Markdown with YAML front matter. What is not known is left out."""
    rows = [*_shape(bundle.description, class_name), *_training(bundle.metadata)]
    n_parameters = sum(spec.size for spec in bundle.description.tensors())
    tokenizer = f"tokenizer = AutoTokenizer.from_pretrained({json.dumps(folder)})\n" if bundle.tokenizer else ""
    return _FRONT.format(
        license=f"license: {license_name}\n" if license_name else "",
        name=name,
        sentence=f"A causal language model of {n_parameters:,} parameters, written by nanochat-framework {__version__}.",
        rows="\n".join(f"| {what} | {value} |" for what, value in rows),
        folder=json.dumps(folder),
        tokenizer=tokenizer,
        notes="\n\n".join(notes),
    )


def _shape(description: ModelDescription, class_name: str) -> list[tuple[str, str]]:
    attention = description.blocks[0].mixer
    assert isinstance(attention, SoftmaxAttention)
    tied = " (shared by embedding and head)" if description.head is None else ""
    return [
        ("architecture", class_name),
        ("layers, width", f"{len(description.blocks)}, {description.dim}"),
        ("heads, key/value heads, head width", f"{attention.n_heads}, {attention.n_kv_heads}, {attention.head_dim}"),
        *_experts(description),
        ("vocabulary", f"{description.vocab_size:,} rows{tied}"),
        ("context", f"{description.max_seq_len:,} tokens"),
    ]


def _experts(description: ModelDescription) -> list[tuple[str, str]]:
    mixture = description.blocks[0].ffn
    if not isinstance(mixture, MixtureOfExperts):
        return []
    return [("experts in a layer, chosen for a token", f"{len(mixture.experts)}, {mixture.n_active}")]


def _training(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How it was trained: only what the checkpoint says."""
    rows = []
    if isinstance(metadata.get("tokens"), int):
        rows.append(("trained on", f"{metadata['tokens']:,} tokens in {metadata.get('step', 0):,} steps"))
    if metadata.get("data"):
        rows.append(("data", ", ".join(f"`{source}`" for source in metadata["data"])))
    scores = metadata.get("held_out", {})
    if "eval/bits_per_byte" in scores:
        rows.append(("held-out text", f"{scores['eval/bits_per_byte']:.4f} bits per byte"))
    if "eval/loss" in scores:
        rows.append(("held-out loss", f"{scores['eval/loss']:.4f} nats per token"))
    return rows
