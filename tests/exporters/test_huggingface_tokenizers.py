"""Models with tokenizers of others, from their folder to ours and out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanochat_exporters.config import GgufConfig, HuggingFaceConfig, SafetensorsConfig
from nanochat_exporters.gguf.exporter import GgufExporter
from nanochat_exporters.gguf.vocabulary import read_vocabulary as read_gguf_vocabulary
from nanochat_exporters.gguf.vocabulary import vocabulary_keys
from nanochat_exporters.huggingface.exporter import HuggingFaceExporter
from nanochat_exporters.safetensors_file import build_safetensors_exporter
from nanochat_framework.cli import main
from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.bundle import bundle_from, model_from_bundle
from nanochat_framework.inference.chat_format import Message, chat_format
from nanochat_framework.inference.engine import TextGenerator
from nanochat_framework.inference.settings import GenerationSettings
from nanochat_framework.plugins import Registry
from tests.data.foreign import KINDS, foreign_definition, settings_beside
from tests.exporters.models import corpus
from tests.exporters.test_huggingface_import import edit, save
from tests.laws.llama_cpp import Llama

transformers = pytest.importorskip("transformers", reason="transformers is the reference of these tests")


def folder_of(path: Path, kind: str) -> Path:
    """A model with random weights and the tokenizer of a kind."""
    family = "Qwen3" if kind == "qwen" else "Llama"
    save(path, kind=family, vocab_size=510, tie_word_embeddings=kind == "gpt2", eos_token_id=None)
    (path / "generation_config.json").unlink(missing_ok=True)
    for name, content in {"tokenizer.json": foreign_definition(kind), **settings_beside(kind)}.items():
        (path / name).write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: folder_of(tmp_path_factory.mktemp(kind) / "hf", kind) for kind in KINDS}


@pytest.fixture(scope="module")
def bundles(folders: dict[str, Path], registry: Registry) -> dict[str, ModelBundle]:
    return {kind: bundle_from(folder, registry) for kind, folder in folders.items()}


def tokenizer_of(bundle: ModelBundle) -> Tokenizer:
    assert bundle.tokenizer is not None
    return bundle.tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_beside_the_tokenizer_is_taken_in(bundles: dict[str, ModelBundle], kind: str) -> None:
    tokenizer = tokenizer_of(bundles[kind])
    ends = {tokenizer.tokens[number] for number in tokenizer.end_ids}
    assert ends == ({"<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"} if kind == "llama3" else {"<|endoftext|>"})
    assert [tokenizer.tokens[n] for n in tokenizer.start_ids] == (["<|begin_of_text|>"] if kind == "llama3" else [])
    assert ("chat_template" in bundles[kind].metadata) == (kind != "llama3")


def test_who_can_chat(bundles: dict[str, ModelBundle]) -> None:
    qwen, llama = bundles["qwen"], bundles["llama3"]
    assert chat_format(tokenizer_of(qwen), qwen.metadata).prompt([Message("user", "Hi")]) == tokenizer_of(qwen).encode(
        "Hi"
    )
    with pytest.raises(UsageError, match="came without a chat template"):
        chat_format(tokenizer_of(llama), llama.metadata)


_TOKENIZERS: dict[Path, Any] = {}


def auto_tokenizer(folder: Path) -> Any:
    if folder not in _TOKENIZERS:
        _TOKENIZERS[folder] = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return _TOKENIZERS[folder]


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.text(st.characters(max_codepoint=0x2FF, exclude_categories=("Cs",)), max_size=50))
def test_prompts_are_those_of_auto_tokenizer(
    folders: dict[str, Path], bundles: dict[str, ModelBundle], kind: str, text: str
) -> None:
    """Characters below the combining ones are in NFC as they are."""
    tokenizer = tokenizer_of(bundles[kind])
    theirs = auto_tokenizer(folders[kind]).encode(text, split_special_tokens=True)
    assert [*tokenizer.start_ids, *tokenizer.encode(text)] == theirs


@pytest.mark.parametrize("kind", KINDS)
def test_out_again(
    folders: dict[str, Path], bundles: dict[str, ModelBundle], registry: Registry, tmp_path: Path, kind: str
) -> None:
    """To a folder and to one file: the same ids, ends and chat template."""
    bundle = bundles[kind]
    HuggingFaceExporter(HuggingFaceConfig()).export(bundle, tmp_path / "out")
    build_safetensors_exporter(SafetensorsConfig()).export(bundle, tmp_path / "out.safetensors")
    before, after = auto_tokenizer(folders[kind]), auto_tokenizer(tmp_path / "out")
    for text in ("def main():\n\treturn 'é'", "<|endoftext|>", "<think>"):
        assert before.encode(text) == after.encode(text)
    assert before.chat_template == after.chat_template
    assert (before.bos_token, before.eos_token) == (after.bos_token, after.eos_token)
    for again in (bundle_from(tmp_path / name, registry) for name in ("out", "out.safetensors")):
        assert tokenizer_of(again).fingerprint == tokenizer_of(bundle).fingerprint
        assert again.metadata.get("chat_template") == bundle.metadata.get("chat_template")


@pytest.mark.parametrize("kind", KINDS)
def test_it_generates(bundles: dict[str, ModelBundle], kind: str) -> None:
    generator = TextGenerator(model_from_bundle(bundles[kind]), tokenizer_of(bundles[kind]))
    completion = generator.generate(generator.prompt("def"), GenerationSettings(max_tokens=5))
    assert completion.text == tokenizer_of(bundles[kind]).decode(completion.tokens)


def test_gguf_keys_name_the_split_and_the_kinds_of_tokens(bundles: dict[str, ModelBundle]) -> None:
    for kind, name in (("gpt2", "gpt-2"), ("qwen", "qwen2"), ("llama3", "llama-bpe")):
        tokenizer = tokenizer_of(bundles[kind])
        keys = vocabulary_keys(tokenizer, 510)
        assert keys["tokenizer.ggml.pre"] == name and keys["tokenizer.ggml.add_bos_token"] == (kind == "llama3")
        types, tokens = keys["tokenizer.ggml.token_type"], keys["tokenizer.ggml.tokens"]
        assert (
            isinstance(types, list)
            and isinstance(tokens, list)
            and len(types) == len(tokens) == len(set(tokens)) == 510
        )
        assert {tokens[n] for n, type_ in enumerate(types) if type_ == 3} == set(tokenizer.special_ids)
        assert [tokens[n] for n, type_ in enumerate(types) if type_ == 4] == (["<think>"] if kind == "qwen" else [])
        assert "tokenizer.chat_template" not in keys


@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_gives_the_same_ids(bundles: dict[str, ModelBundle], tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.gguf"
    GgufExporter(GgufConfig()).export(bundles[kind], path)
    tokenizer = tokenizer_of(bundles[kind])
    judge = Llama(path)
    for text in ("def main():\n    return 12345", "it's naïve", "a  b\n\n\tc", "<|endoftext|> 日本"):
        assert judge.tokenize(text) == [*tokenizer.start_ids, *tokenizer.encode(text)]


@pytest.mark.parametrize("kind", KINDS)
def test_gguf_and_back(bundles: dict[str, ModelBundle], registry: Registry, tmp_path: Path, kind: str) -> None:
    """A file without our keys, as others write it, gives the same ids, ends and chat template."""
    tokenizer = tokenizer_of(bundles[kind])
    GgufExporter(GgufConfig()).export(bundles[kind], tmp_path / "ours.gguf")
    as_others_write(tmp_path / "ours.gguf", tmp_path / "theirs.gguf")
    for name in ("ours.gguf", "theirs.gguf"):
        bundle = bundle_from(tmp_path / name, registry)
        again = tokenizer_of(bundle)
        assert bundle.metadata.get("chat_template") == bundles[kind].metadata.get("chat_template")
        assert (again.start_ids, again.end_ids, again.eos_id) == (
            tokenizer.start_ids,
            tokenizer.end_ids,
            tokenizer.eos_id,
        )
        assert again.special_ids == tokenizer.special_ids
        for text in ("def main():\n    return 12345", "it's naïve <think>", "a  b\n\n\tc", "<|endoftext|> 日本"):
            assert again.encode(text) == tokenizer.encode(text)
            assert again.decode(again.encode(text)) == text


def as_others_write(source: Path, target: Path) -> None:
    """Copy a file with gguf's own writer, without the keys that only we write."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith(("GGUF.", "nanochat.", "general.architecture")):
            continue
        kind, *inner = field.types
        writer.add_key_value(field.name, field.contents(), kind, inner[0] if inner else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("tokenizer.ggml.eos_token_id", 10_000, "no id of its"),
        ("tokenizer.ggml.eos_token_id", None, "no key tokenizer.ggml.eos_token_id says"),
        ("tokenizer.ggml.token_type", [1], "do not fit together"),
        ("tokenizer.ggml.merges", ["a"], "do not fit together"),
    ],
)
def test_damaged_gguf_vocabularies_are_one_line(
    bundles: dict[str, ModelBundle], key: str, value: Any, expected: str
) -> None:
    keys = {**vocabulary_keys(tokenizer_of(bundles["gpt2"]), 510), key: value}
    with pytest.raises(UsageError, match=f"f.gguf.*{expected}"):
        read_gguf_vocabulary(keys, "f.gguf")


def test_a_split_without_a_name_is_not_written_as_another(registry: Registry, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "hf", "qwen")
    definition = foreign_definition("qwen")
    definition["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\s+|\S+"
    (folder / "tokenizer.json").write_text(json.dumps(definition))
    with pytest.raises(UsageError, match="splits text in a way that GGUF has no name for; export --to huggingface"):
        GgufExporter(GgufConfig()).export(bundle_from(folder, registry), tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("file", "changes", "expected"),
    [
        ("tokenizer_config.json", {"eos_token": None}, "says which token ends a text"),
        ("tokenizer_config.json", {"eos_token": "</s>"}, "does not fit the special tokens beside it"),
        ("tokenizer.json", {"model": {"type": "Unigram", "vocab": [], "merges": []}}, "tokenizer.json: "),
        ("tokenizer.json", {"added_tokens": 3}, "tokenizer.json: "),
    ],
)
def test_what_does_not_fit_is_one_line(
    registry: Registry, tmp_path: Path, file: str, changes: dict[str, Any], expected: str
) -> None:
    folder = folder_of(tmp_path / "hf", "gpt2")
    edit(folder / file, **changes)
    with pytest.raises(UsageError, match=expected) as caught:
        bundle_from(folder, registry)
    assert "\n" not in str(caught.value) and "--option tokenizer=false` takes the weights alone" in str(caught.value)
    assert bundle_from(folder, registry, options={"tokenizer": False}).tokenizer is None


def test_data_is_prepared_with_it(
    bundles: dict[str, ModelBundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Documents have what theirs have around them, and every byte is there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(corpus())
    for kind in ("qwen", "llama3"):
        tokenizer = tokenizer_of(bundles[kind])
        (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
        command = ["prepare-data", "--text", "a.txt", "--tokenizer", "tokenizer.json", "--output", kind]
        assert main([*command, "--validation-fraction", "0"]) == 0
        ids = np.fromfile(tmp_path / kind / "tokens.bin", dtype="<u4")
        assert tuple(ids[: len(tokenizer.start_ids)]) == tokenizer.start_ids and ids[-1] == tokenizer.eos_id
        assert tokenizer.decode_bytes(ids) == corpus().encode()
        form = json.loads((tmp_path / kind / "data.json").read_text())
        assert (
            form["documents"]
            == {"qwen": "text <|endoftext|>", "llama3": "<|begin_of_text|> text <|end_of_text|>"}[kind]
        )
        assert form["tokenizer_sha256"] == tokenizer.fingerprint
