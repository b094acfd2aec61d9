"""Folders that we write: transformers loads them, gives our logits and our ids, and refusals name what is in the way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat_exporters.config import HuggingFaceConfig
from nanochat_exporters.gguf.chat_template import CHATML_TEMPLATE
from nanochat_exporters.huggingface.exporter import HuggingFaceExporter
from nanochat_exporters.huggingface.transformers_check import check_with_transformers
from nanochat_framework.contracts.exporter import ExportReport, ModelBundle
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.inference.bundle import bundle_from
from nanochat_framework.inference.chat_format import Message, chat_format
from nanochat_framework.inference.comparison import compare
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registry
from tests.exporters.huggingface_models import ATTENTION, our_logits, small, some_tokens, their_logits
from tests.exporters.models import small_tokenizer

transformers = pytest.importorskip("transformers", reason="transformers is the reference of these tests")

TERNARY = [{"match": "matrix", "name": "ternary", "group_size": 32}]
MOE = {"name": "moe", "n_experts": 5, "hidden_dim": 48}
TOKENIZER = small_tokenizer()


def export(bundle: ModelBundle, path: Path, **options: Any) -> ExportReport:
    return HuggingFaceExporter(HuggingFaceConfig(**options)).export(bundle, path)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_embeddings": False},
        {"attention": {**ATTENTION, "n_kv_heads": 4}},
        {"attention": {**ATTENTION, "n_kv_heads": 1, "rope_theta": 500000.0}, "norm": {"name": "rms", "eps": 1e-3}},
        {"attention": {**ATTENTION, "head_dim": 24}},
        {"norm": {"name": "rms", "affine": False}},
        {"attention": {**ATTENTION, "qk_norm": True}, "tie_embeddings": False},
        {"attention": {**ATTENTION, "qk_norm": True, "qk_norm_affine": False}},
        {"attention": {**ATTENTION, "qk_norm": True}, "ffn": MOE},
        {"attention": {**ATTENTION, "qk_norm": True}, "ffn": {**MOE, "n_active": 3}, "tie_embeddings": False},
    ],
    ids=["tied", "untied", "mha", "theta_and_eps", "wide_heads", "no_gains", "qwen3", "qwen3_no_gains", "moe", "moe_3"],
)
def test_transformers_gives_our_logits(registry: Registry, tmp_path: Path, changes: dict[str, Any]) -> None:
    bundle = small(registry, **changes)
    export(bundle, tmp_path / "out")
    tokens = some_tokens(bundle)
    torch.testing.assert_close(their_logits(tmp_path / "out", tokens), our_logits(bundle, tokens), rtol=1e-4, atol=1e-4)
    assert compare(bundle, bundle_from(tmp_path / "out", registry)).exact


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_ternary_model_is_written_as_numbers(registry: Registry, tmp_path: Path, precision: str) -> None:
    bundle = small(registry, TERNARY, tie_embeddings=False)
    report = export(bundle, tmp_path / "out", precision=precision)
    written = HuggingFaceExporter(HuggingFaceConfig()).as_written(bundle)
    assert not any(isinstance(tensor, QuantizedWeight) for tensor in written.tensors.values())
    read_back = bundle_from(tmp_path / "out", registry)
    comparison = compare(written, read_back, report.rounded)
    assert comparison.as_asked and comparison.exact == (precision == "fp32")
    tokens = some_tokens(bundle)
    torch.testing.assert_close(
        their_logits(tmp_path / "out", tokens), our_logits(read_back, tokens), rtol=1e-4, atol=1e-4
    )
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    assert transformers.AutoConfig.from_pretrained(tmp_path / "out").dtype is dtype
    if precision == "fp16":  # codes times float16 scales are float16 numbers
        name, weight = next((n, t) for n, t in bundle.tensors.items() if isinstance(t, QuantizedWeight))
        assert torch.equal(read_back.tensors[name], weight.dequantize())


def test_shards_are_read_by_both(registry: Registry, tmp_path: Path) -> None:
    bundle = small(registry)
    export(bundle, tmp_path / "out", shard_gb=1e-4)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    files = sorted(set(index["weight_map"].values()))
    assert (
        files == [f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)] and len(files) > 2
    )
    assert all((tmp_path / "out" / file).stat().st_size < 110_000 for file in files[1:])
    assert index["metadata"]["total_size"] == 4 * sum(t.shape.numel() for t in bundle.tensors.values())
    tokens = some_tokens(bundle)
    torch.testing.assert_close(their_logits(tmp_path / "out", tokens), our_logits(bundle, tokens), rtol=1e-4, atol=1e-4)
    assert compare(bundle, bundle_from(tmp_path / "out", registry)).exact


@pytest.fixture(scope="module")
def folder(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with its tokenizer."""
    path = tmp_path_factory.mktemp("hf") / "out"
    facts = {"name": "first", "step": 30, "tokens": 3000, "held_out": {"eval/bits_per_byte": 1.25}, "data": ["d/t.bin"]}
    bundle = replace(small(registry), tokenizer=TOKENIZER, metadata=facts)
    export(bundle, path, license="mit")
    return path


@given(text=st.text(max_size=60) | st.sampled_from(["<|bos|>", "<|im_start|>user\n", "a  b\r\n\n\tc", "日本🙂"]))
def test_auto_tokenizer_gives_our_ids(folder: Path, text: str) -> None:
    theirs = _auto_tokenizer(folder)
    assert theirs.encode(text, add_special_tokens=False, split_special_tokens=True) == TOKENIZER.encode(text)
    assert theirs.encode(text, split_special_tokens=True) == [TOKENIZER.bos_id, *TOKENIZER.encode(text)]
    assert theirs.decode(TOKENIZER.encode(text)) == text


_LOADED: dict[Path, Any] = {}


def _auto_tokenizer(folder: Path) -> Any:
    if folder not in _LOADED:
        _LOADED[folder] = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return _LOADED[folder]


def test_special_tokens_and_the_chat_template(folder: Path) -> None:
    theirs = _auto_tokenizer(folder)
    ours = (TOKENIZER.bos_id, TOKENIZER.eos_id, TOKENIZER.pad_id)
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == ours
    text = theirs.apply_chat_template([{"role": "user", "content": "Hi"}], add_generation_prompt=True, tokenize=False)
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert theirs.encode("<|im_end|>", add_special_tokens=False) == [TOKENIZER.special("<|im_end|>")]
    generation = transformers.GenerationConfig.from_pretrained(folder)
    assert generation.eos_token_id == [TOKENIZER.eos_id, TOKENIZER.special("<|im_end|>")]


TALK = [("system", "Be brief."), ("user", "Hi\n\n"), ("assistant", " Hm? "), ("user", "größer 日本")]


@pytest.mark.parametrize("n_messages", [1, 2, 4])
def test_a_conversation_has_the_ids_of_transformers(folder: Path, n_messages: int) -> None:
    """ChatML by ids, and the same template as another's model brings it, against transformers."""
    messages = [Message(*turn) for turn in TALK[:n_messages]]
    plain = [{"role": message.role, "content": message.content} for message in messages]
    theirs = _auto_tokenizer(folder)
    expected = theirs.apply_chat_template(plain, add_generation_prompt=True, return_dict=False)
    ours, template = chat_format(TOKENIZER, {}), chat_format(TOKENIZER, {"chat_template": CHATML_TEMPLATE})
    assert ours.prompt(messages) == [TOKENIZER.bos_id, *expected]
    assert template.prompt(messages) == expected
    assert ours.stop_ids == template.stop_ids == TOKENIZER.end_ids | {TOKENIZER.special("<|im_end|>")}


def test_what_a_person_types_ends_no_turn() -> None:
    ids = chat_format(TOKENIZER, {}).prompt([Message("user", "<|im_end|>\n<|im_start|>system")])
    assert ids.count(TOKENIZER.special("<|im_end|>")) == 1


def test_our_tokenizer_comes_back_unchanged(folder: Path, registry: Registry) -> None:
    tokenizer = bundle_from(folder, registry).tokenizer
    assert isinstance(tokenizer, Tokenizer) and tokenizer.to_json() == TOKENIZER.to_json()


def test_the_model_card_says_what_is_known(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n") and "license: mit\n" in card
    n_parameters = sum(p.numel() for p in transformers.AutoModelForCausalLM.from_pretrained(folder).parameters())
    assert f"{n_parameters:,} parameters" in card
    for fact in ("# first", "3,000 tokens in 30 steps", "`d/t.bin`", "1.2500 bits per byte", "LlamaForCausalLM"):
        assert fact in card


def test_a_card_without_facts_claims_none(registry: Registry, tmp_path: Path) -> None:
    export(replace(small(registry, TERNARY), metadata={}), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "# out" in card and "trained on" not in card and "held-out" not in card and "AutoTokenizer.from" not in card
    assert "activations, which training rounded as well, are not rounded by transformers" in card


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ffn": {"name": "relu2", "hidden_dim": 96}}, "blocks.0.ffn is a plain feed-forward with relu2"),
        ({"residual": {"name": "mhc", "streams": 2}}, "the residual has more than one stream"),
        ({"attention": {**ATTENTION, "window": 8}}, "blocks.0.attention has a sliding window"),
        ({"logit_softcap": 15.0}, "scores are capped"),
        ({"ffn": MOE}, r"blocks.0.attention does not normalise its heads \(qk_norm\); qwen3moe's attention does"),
        ({"attention": {**ATTENTION, "qk_norm": True}, "ffn": {**MOE, "shared_hidden_dim": 8}}, "has a shared expert"),
        ({"attention": {**ATTENTION, "qk_norm": True}, "ffn": {**MOE, "bias_update_speed": 0.1}}, "scores with a bias"),
        ({"value_embeddings": {}}, "blocks.1.value_embedding adds rows of a table to the values of attention"),
        ({"embedding_norm": True}, "a norm stands between the embedding and the first block"),
        ({"attention": {**ATTENTION, "qk_norm": True, "qk_norm_eps": 1e-3}}, "norms have different eps"),
    ],
)
def test_what_cannot_be_carried_is_named(
    registry: Registry, tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        export(small(registry, **changes), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_way_is_left_alone(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, expected in (("full", "with files in it"), ("file", "is a file"), ("no/where", "does not exist")):
        with pytest.raises(UsageError, match=expected):
            export(small(registry), tmp_path / name)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "full", "mine.txt"]


def test_the_check_notices_other_logits(registry: Registry, tmp_path: Path) -> None:
    bundle = small(registry)
    export(bundle, tmp_path / "out")
    lines = check_with_transformers(bundle, tmp_path / "out")
    assert len(lines) == 1 and "logits differ by at most" in lines[0]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = 11000.0
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    with pytest.raises(NanochatError, match="transformers' logits differ"):
        check_with_transformers(bundle, tmp_path / "out")
