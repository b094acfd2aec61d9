"""Bytes and held-out bits per byte of one model in every GGUF storage, as trained, as read back, and in llama.cpp.

    python benchmarks/gguf_exits.py runs/first --data data --tokens 1024

Every storage that the exporter offers for this model is written to a temporary folder. Three figures on the same windows
of the data folder's held-out text: the model as trained (once), the file in our own engine, the file in stock llama.cpp
(through the xllamacpp wheel; float32 cache, no flash attention). llama.cpp is asked for one token at a time, so a few
thousand tokens take minutes. The table goes to stdout.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nanochat_exporters.config import GgufConfig
from nanochat_exporters.gguf.exporter import GgufExporter
from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.token_store import TokenStore
from nanochat_framework.inference.bundle import bundle_from, model_from_bundle
from nanochat_framework.kernels.table import KernelTable, activate
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import load_plugins
from tests.laws.llama_cpp import Llama

TABLES = ("f16", "bf16", "q8_0", "q6_k", "q4_0")
WINDOW = 128


def forms(bundle: ModelBundle) -> Iterator[tuple[str, dict[str, Any]]]:
    """What to write: everything in float32 first, then one choice at a time, then the smallest of all."""
    quantized = any(isinstance(tensor, QuantizedWeight) for tensor in bundle.tensors.values())
    yield "all that is float in F32", {}
    if quantized:
        yield from ((f"ternary in {kind.upper()}", {"ternary_type": kind}) for kind in ("tq1_0", "q4_0"))
    else:
        yield from ((f"all matrices in {kind.upper()}", {"type": kind}) for kind in ("f16", "bf16", "q8_0"))
    untied = bundle.description.head is not None
    table = "embedding" if untied else "embedding and head (tied)"
    yield from ((f"{table} in {kind.upper()}", {"embedding_type": kind}) for kind in TABLES)
    if untied:
        yield from ((f"head in {kind.upper()}", {"head_type": kind}) for kind in TABLES)
    smallest = {"ternary_type": "tq1_0"} if quantized else {"type": "q8_0"}
    yield "smallest", {**smallest, "embedding_type": "q4_0", **({"head_type": "q4_0"} if untied else {})}


def windows(bundle: ModelBundle, data: Path, n_tokens: int) -> list[list[int]]:
    """Held-out windows, each with one token more than is predicted, evenly spread over the text."""
    assert bundle.tokenizer is not None
    tokens = TokenStore.open(data / "val.bin", tokenizer=bundle.tokenizer).tokens
    size = min(WINDOW, bundle.description.max_seq_len)
    count = max(1, n_tokens // size)
    starts = np.linspace(0, len(tokens) - size - 2, count).astype(int)
    return [[int(token) for token in tokens[start : start + size + 1]] for start in starts]


@torch.no_grad()
def in_torch(model: LanguageModel, tokens: Sequence[int]) -> np.ndarray:
    """Log probabilities after each token: (tokens, vocab_size)."""
    logits = model(torch.tensor([list(tokens)]))[0]
    return torch.log_softmax(logits.double(), dim=-1).numpy()


def bits_per_byte(rows: Sequence[np.ndarray], texts: Sequence[Sequence[int]], bundle: ModelBundle) -> float:
    """Of the windows' text; special tokens are not counted."""
    assert bundle.tokenizer is not None
    lengths = bundle.tokenizer.byte_lengths
    bits = n_bytes = 0.0
    for predictions, tokens in zip(rows, texts, strict=True):
        for place, token in enumerate(tokens[1:]):
            if lengths[token]:
                bits -= float(predictions[place, token]) / math.log(2)
                n_bytes += int(lengths[token])
    return bits / n_bytes


def main() -> None:
    """Write, read back and score every form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a run, a checkpoint folder or a model file")
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare-data wrote")
    parser.add_argument("--tokens", type=int, default=1024)
    arguments = parser.parse_args()
    registry = load_plugins().registry
    activate(KernelTable(registry))
    bundle = bundle_from(arguments.model, registry)
    texts = windows(bundle, arguments.data, arguments.tokens)
    trained = model_from_bundle(bundle)
    baseline = bits_per_byte([in_torch(trained, text[:-1]) for text in texts], texts, bundle)
    print(f"as trained: {baseline:.4f} bits per byte on {sum(len(text) - 1 for text in texts)} tokens\n")
    print("| storage | bytes | our engine | against trained | llama.cpp | against ours |\n|---|---|---|---|---|---|")
    for name, options in forms(bundle):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            report = GgufExporter(GgufConfig(**options)).export(bundle, path)
            read_back = model_from_bundle(bundle_from(path, registry))
            ours = bits_per_byte([in_torch(read_back, text[:-1]) for text in texts], texts, bundle)
            judge, vocab_size = Llama(path), bundle.description.vocab_size
            theirs = bits_per_byte([judge.log_probabilities(text[:-1], vocab_size) for text in texts], texts, bundle)
        cells = (f"{report.n_bytes:,}", f"{ours:.4f}", f"{ours - baseline:+.4f}", f"{theirs:.4f}")
        print(f"| {name} | {' | '.join(cells)} | {(theirs / ours - 1):+.3%} |", flush=True)
        print(f"{name}: done", file=sys.stderr)


if __name__ == "__main__":
    main()
