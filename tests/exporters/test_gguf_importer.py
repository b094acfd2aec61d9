"""What the importer reads of others, and what it refuses: files that do not fit together, damaged files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanochat_exporters.gguf.contents import Contents
from nanochat_exporters.gguf.file_writer import write_file
from nanochat_exporters.gguf.importer import GgufImporter
from nanochat_exporters.gguf.storage import StoredTensor
from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.inference.bundle import model_from_bundle
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registry
from tests.exporters.gguf_files import SMALL, Change, export, rewrite, set_key, without_our_keys
from tests.exporters.models import TERNARY, build, float_twin, model_table, small_tokenizer
from tests.laws.combinations import random_tokens


@pytest.fixture
def exported(registry: Registry, tmp_path: Path) -> tuple[ModelBundle, Path]:
    """An untied ternary model and its file."""
    _, bundle = build(registry, TERNARY, tie_embeddings=False)
    bundle = replace(bundle, tokenizer=small_tokenizer())
    export(bundle, tmp_path / "model.gguf")
    return bundle, tmp_path / "model.gguf"


@pytest.mark.parametrize("experts", [False, True], ids=["dense", "experts"])
@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
@torch.no_grad()
def test_a_foreign_file_is_read(registry: Registry, tmp_path: Path, architecture: str, experts: bool) -> None:
    attention = {**model_table()["attention"], "qk_norm": architecture == "qwen3"}
    mixture = {"name": "moe", "n_experts": 3, "n_active": 2, "hidden_dim": 256}
    _, bundle = build(
        registry, TERNARY, tie_embeddings=False, attention=attention, **({"ffn": mixture} if experts else {})
    )
    architecture += "moe" if experts and architecture == "qwen3" else ""
    path = tmp_path / "model.gguf"
    export(bundle, path, architecture=architecture)
    again = GgufImporter().load(rewrite(path, tmp_path / "foreign.gguf", without_our_keys), registry)
    assert again.quantizers == () and isinstance(again.tensors["blocks.0.attention.key.weight"], QuantizedWeight)
    tokens = random_tokens(1, 20, 608)
    expected = model_from_bundle(float_twin(bundle))(tokens)  # activations are rounded only where a quantizer says so
    torch.testing.assert_close(model_from_bundle(again)(tokens), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("type_name", ["F16", "BF16", "Q8_0", "Q4_0", "Q5_1"])
def test_other_tensor_types_are_read(
    exported: tuple[ModelBundle, Path], registry: Registry, tmp_path: Path, type_name: str
) -> None:
    kind = gguf.GGMLQuantizationType[type_name]
    values: dict[str, Any] = {}

    def requantise(contents: Contents) -> Contents:
        tensors = []
        for stored in without_our_keys(contents).tensors:
            if stored.name in ("token_embd.weight", "output.weight"):
                data = gguf.quants.quantize(stored.data, kind)
                values[stored.name] = gguf.quants.dequantize(data, kind)
                stored = StoredTensor(stored.name, type_name, stored.shape, data)
            tensors.append(stored)
        return replace(without_our_keys(contents), tensors=tensors)

    again = GgufImporter().load(rewrite(exported[1], tmp_path / "foreign.gguf", requantise), registry)
    model = model_from_bundle(again)
    parameters = dict(model.named_parameters())
    np.testing.assert_array_equal(parameters["embedding.weight"].numpy(), values["token_embd.weight"])
    np.testing.assert_array_equal(parameters["head.weight"].numpy(), values["output.weight"])


def drop_tensor(contents: Contents) -> Contents:
    """Without the last one."""
    return replace(contents, tensors=contents.tensors[:-1])


def add_tensor(contents: Contents) -> Contents:
    """With one too many."""
    extra = StoredTensor("rope_freqs.weight", "F32", (4,), np.ones(4, dtype=np.float32))
    return replace(contents, tensors=[*contents.tensors, extra])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (drop_tensor, "has no tensor output.weight"),
        (add_tensor, "no place for its tensor rope_freqs.weight"),
        (
            lambda contents: replace(contents, architecture="bert"),
            "architecture 'bert'; llama, qwen3, qwen3moe, qwen35, qwen35moe, nanochat can be read",
        ),
        (lambda contents: replace(contents, architecture="qwen3"), "nanochat.model is no qwen3 model"),
        (set_key("nanochat.format_version", 2), "format_version 2, this version reads 1"),
        (set_key("nanochat.model", "{"), "nanochat.model is not JSON"),
        (set_key("nanochat.model", None), "nanochat.model is missing"),
        (set_key("nanochat.model", '{"name": "mamba"}'), "nanochat.model: unknown model 'mamba'"),
        (set_key("nanochat.quantizers", '[{"match": "*", "name": "none"}]'), "quantizers: 0: unknown quantizer"),
        (set_key("nanochat.group_sizes", "[]"), "group_sizes does not map"),
        (set_key("nanochat.group_sizes", '{"blocks.0.ffn.up.weight": 100}'), "groups of 100"),
        (set_key("llama.block_count", None, foreign=True), "llama.block_count is None"),
        (
            set_key("llama.embedding_length", 128, foreign=True),
            r"is \(608, 256\), the model it describes has \(608, 128\)",
        ),
        (set_key("llama.expert_count", 8, foreign=True), "llama.expert_used_count is None"),
        (set_key("llama.block_count", 10**6, foreign=True), "more than the file has tensors"),
        (set_key("llama.rope.scaling.type", "yarn", foreign=True), "scales its rotary positions"),
        (
            set_key("llama.rope.dimension_count", 32, foreign=True),
            "blocks.0.attention turns 32 of 64 channels .* do not describe a llama model",
        ),
        (set_key("llama.attention.value_length", 32, foreign=True), "value_length is not the width of a head"),
        (set_key("llama.attention.head_count", 0, foreign=True), "head_count is 0"),
        (set_key("llama.attention.head_count_kv", 3, foreign=True), "n_kv_heads 3 must divide"),
        (set_key("llama.attention.layer_norm_rms_epsilon", None, foreign=True), "epsilon is None"),
    ],
)
def test_files_that_do_not_fit_together_say_where(
    exported: tuple[ModelBundle, Path], registry: Registry, tmp_path: Path, change: Change, expected: str
) -> None:
    path = rewrite(exported[1], tmp_path / "odd.gguf", change)
    with pytest.raises(UsageError, match=expected) as caught:
        GgufImporter().load(path, registry)
    assert "odd.gguf" in str(caught.value) and "\n" not in str(caught.value)


def test_plain_files_that_claim_our_architecture(registry: Registry, tmp_path: Path) -> None:
    write_file(Contents("nanochat", {}, []), tmp_path / "x.gguf")
    with pytest.raises(UsageError, match="nanochat.format_version is missing"):
        GgufImporter().load(tmp_path / "x.gguf", registry)


@pytest.fixture(scope="module", params=["llama", "nanochat"])
def small_file(request: pytest.FixtureRequest, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small exported file of each architecture, and where its header ends."""
    _, bundle = build(registry, [{**TERNARY[0], "group_size": 32}], **{**SMALL, "vocab_size": 40})
    path = tmp_path_factory.mktemp("small") / "small.gguf"
    export(bundle, path, architecture=request.param)
    return path.read_bytes()


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_one_line_or_harmless(
    tmp_path: Path, registry: Registry, small_file: bytes, data: st.DataObject
) -> None:
    """Cut short or with flipped bits, mostly in the header, a file loads or is refused; it never ends in a traceback."""
    path, damaged = tmp_path / "damaged.gguf", bytearray(small_file)
    if data.draw(st.booleans()):
        damaged = damaged[: data.draw(st.integers(0, len(damaged) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            bit = data.draw(st.integers(0, 8 * 4000 - 1))
            damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    refusal = ""
    try:
        model_from_bundle(GgufImporter().load(path, registry))
    except NanochatError as error:
        refusal = str(error)
    assert "\n" not in refusal
