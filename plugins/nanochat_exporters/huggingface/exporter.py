"""The Hugging Face exporter: a folder that transformers, vLLM and llama.cpp's converter read."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from nanochat_exporters.config import HuggingFaceConfig
from nanochat_exporters.gguf.contents import CannotCarry
from nanochat_exporters.gguf.placement import Placement
from nanochat_exporters.huggingface import tokenizer_files
from nanochat_exporters.huggingface.config_json import CONFIG
from nanochat_exporters.huggingface.contents import class_of, config_json, placements
from nanochat_exporters.huggingface.model_card import model_card
from nanochat_exporters.huggingface.weights import write_json, write_weights
from nanochat_framework.config.quantization import traits
from nanochat_framework.contracts.exporter import Exporter, ExportReport, ModelBundle, Rounding
from nanochat_framework.errors import UsageError
from nanochat_framework.model.build import PRECISIONS
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.runs.atomic import new_folder, write_atomic

_GB = 10**9


class HuggingFaceExporter(Exporter):
    """Writes LlamaForCausalLM, Qwen3ForCausalLM or Qwen3MoeForCausalLM (see `contents`); weights as plain numbers."""

    def __init__(self, config: HuggingFaceConfig) -> None:
        self.config = config
        self.dtype = PRECISIONS[config.precision]

    def export(self, bundle: ModelBundle, path: Path) -> ExportReport:
        """Write the folder. Raises UsageError naming what cannot be carried, or a folder that is in the way."""
        description = bundle.description
        try:
            places, class_name = placements(description), class_of(description).name
        except CannotCarry as reason:
            raise UsageError(f"transformers' Llama, Qwen3 and Qwen3Moe cannot carry this model: {reason}") from None
        if bundle.tokenizer is not None:
            tokenizer_files.check_fits(bundle.tokenizer, description.vocab_size)
        dtype = str(self.dtype).removeprefix("torch.")
        config = config_json(description, dtype)
        with new_folder(path) as folder:
            write_weights(
                folder, places, lambda place: _value(bundle, place), self.dtype, round(self.config.shard_gb * _GB)
            )
            if bundle.tokenizer is not None:
                ids = tokenizer_files.special_ids(bundle.tokenizer)
                config |= ids
                write_json(
                    folder / tokenizer_files.GENERATION, {**ids, "do_sample": True, "temperature": 0.8, "top_k": 40}
                )
                tokenizer_files.write_tokenizer(
                    folder, bundle.tokenizer, description.max_seq_len, bundle.metadata.get("chat_template")
                )
            write_json(folder / CONFIG, config)
            write_atomic(folder / "README.md", self._card(bundle, class_name, path).encode())
        files = sorted(file for file in path.iterdir() if file.suffix == ".safetensors")
        size = sum(file.stat().st_size for file in path.iterdir())
        weights = f"{len(places)} tensors in {len(files)} file{'s' if len(files) > 1 else ''}, {dtype}"
        lines = (f"{class_name}: transformers reads this folder", weights, *self._notes(bundle))
        return ExportReport(path, size, lines, self._rounded(bundle, dtype))

    def as_written(self, bundle: ModelBundle) -> ModelBundle:
        """The model with plain weights, and activations that are not rounded."""
        if not bundle.quantizers and not any(isinstance(t, QuantizedWeight) for t in bundle.tensors.values()):
            return bundle
        return replace(bundle, tensors={name: _plain(t) for name, t in bundle.tensors.items()}, quantizers=())

    def check(self, read_back: ModelBundle, path: Path) -> tuple[str, ...]:
        """Logits and ids by transformers, where it is installed. Raises NanochatError if they are others."""
        from nanochat_exporters.huggingface.transformers_check import check_with_transformers

        return check_with_transformers(read_back, path)

    def _rounded(self, bundle: ModelBundle, dtype: str) -> dict[str, Rounding]:
        if self.dtype is torch.float32:
            return {}

        def narrow(values: Tensor) -> Tensor:
            return values.to(self.dtype).float()

        size = self.dtype.itemsize
        return {name: Rounding(dtype, narrow, size * prod(tensor.shape)) for name, tensor in bundle.tensors.items()}

    def _notes(self, bundle: ModelBundle) -> list[str]:
        quantized = sum(isinstance(tensor, QuantizedWeight) for tensor in bundle.tensors.values())
        notes = []
        if quantized:
            names = ", ".join(sorted({rule.component.name for rule in bundle.quantizers}))
            rounds = any(traits(rule).rounds_activations() for rule in bundle.quantizers)
            activations = (
                "; activations, which training rounded as well, are not rounded by transformers" if rounds else ""
            )
            notes.append(
                f"{quantized} matrices are written as the numbers that their {names or 'quantised'} codes and scales stand "
                f"for{activations}"
            )
        if self.dtype is not torch.float32:
            notes.append(f"weights are rounded to {self.config.precision}, where they are not such numbers already")
        return notes

    def _card(self, bundle: ModelBundle, class_name: str, path: Path) -> str:
        name = self.config.model_name or str(bundle.metadata.get("name") or path.name)
        return model_card(
            bundle,
            name=name,
            class_name=class_name,
            license_name=self.config.license or bundle.metadata.get("license"),
            folder=path.name,
            notes=[f"{note[0].upper()}{note[1:]}." for note in self._notes(bundle)],
        )


def _value(bundle: ModelBundle, place: Placement) -> Tensor:
    """The float32 values of a place; ones for a norm without a gain."""
    return _plain(bundle.tensors[place.names[0]]) if place.parts else torch.ones(place.shape)


def _plain(tensor: Tensor | QuantizedWeight) -> Tensor:
    return tensor.dequantize() if isinstance(tensor, QuantizedWeight) else tensor.detach().to("cpu", torch.float32)


def build_huggingface_exporter(config: HuggingFaceConfig) -> HuggingFaceExporter:
    """Factory of `huggingface`."""
    return HuggingFaceExporter(config)
