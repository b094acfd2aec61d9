"""The table of what narrower storage costs: one row for each group of tensors, and sizes that add up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nanochat_exporters.config import GgufConfig
from nanochat_exporters.gguf.exporter import GgufExporter
from nanochat_framework.inference.bundle import bundle_from
from nanochat_framework.inference.rounding_cost import rounding_costs
from nanochat_framework.plugins import Registry
from tests.exporters.models import build, prepare_corpus, small_tokenizer


def test_every_group_alone_and_all_together(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")
    data = prepare_corpus(tmp_path / "data", n_documents=40)
    _, bundle = build(registry, [], tie_embeddings=False, n_layers=1)
    bundle = replace(bundle, tokenizer=small_tokenizer())
    path = tmp_path / "model.gguf"
    report = GgufExporter(GgufConfig(type="q8_0", head_type="q4_0", embedding_type="f16")).export(bundle, path)
    rows = {row.form: row for row in rounding_costs(bundle, bundle_from(path, registry), report, data)}
    assert list(rows) == [
        "as trained", "embedding.weight in F16", "matrices in Q8_0", "head.weight in Q4_0", "this file"
    ]  # fmt: skip
    trained = rows["as trained"]
    saved = {form: trained.n_bytes - row.n_bytes for form, row in rows.items()}
    assert saved["embedding.weight in F16"] == 2 * 608 * 256 and saved["head.weight in Q4_0"] == 608 * 256 * 110 // 32
    assert saved["this file"] == sum(size for form, size in saved.items() if form != "this file")
    cost = {form: abs(row.bits_per_byte - trained.bits_per_byte) for form, row in rows.items()}
    assert 0 < cost["embedding.weight in F16"] < cost["head.weight in Q4_0"]
    assert rows["this file"].n_bytes == path.stat().st_size
