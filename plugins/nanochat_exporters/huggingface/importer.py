"""The Hugging Face importer: Llama, Qwen3 and Qwen3Moe folders as models of ours."""

from __future__ import annotations

import re
from pathlib import Path

from nanochat_exporters.config import HuggingFaceImporterConfig
from nanochat_exporters.huggingface import tokenizer_files
from nanochat_exporters.huggingface.config_json import CONFIG, model_table, read_config
from nanochat_exporters.huggingface.contents import placements
from nanochat_exporters.huggingface.weights import WeightReader
from nanochat_framework.contracts.exporter import Importer, ModelBundle
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.tables import select_model
from nanochat_framework.plugins.registry import Registry

_COMPUTED = re.compile(r".*\.rotary_emb\.inv_freq\Z")
"""Tables that older versions of transformers saved although they follow from the configuration."""


class HuggingFaceImporter(Importer):
    """Reads a folder with `config.json`; weights become float32, without loss for all types that are read."""

    def __init__(self, config: HuggingFaceImporterConfig) -> None:
        self.config = config

    def load(self, path: Path, registry: Registry) -> ModelBundle:
        """Read a folder. Raises UsageError for another architecture, or weights that are pickled, odd or not there."""
        config = read_config(path)
        model = select_model(model_table(config, str(path / CONFIG)), str(path / CONFIG), registry)
        description = model.config.describe()
        places = placements(description)
        with WeightReader(path) as weights:
            known = {place.file_name for place in places} | ({"lm_head.weight"} if description.head is None else set())
            odd = sorted(name for name in weights.names() - known if not _COMPUTED.match(name))
            if odd:
                raise UsageError(f"{path}: the model that its {CONFIG} describes has no place for its tensor {odd[0]}")
            tensors = {name: weights.read(place.file_name, place.shape) for place in places for name in place.names}
        tokenizer = self._tokenizer(path, description.vocab_size)
        metadata = {"name": path.resolve().name, "architecture": config["model_type"]}
        if not self.config.tokenizer:
            metadata["without_tokenizer"] = "it was imported with tokenizer=false"
        chat_template = tokenizer_files.read_chat_template(path)
        if chat_template:
            metadata["chat_template"] = chat_template
        return ModelBundle(model, (), description, tensors, tokenizer, metadata)

    def _tokenizer(self, path: Path, vocab_size: int) -> Tokenizer | None:
        if not self.config.tokenizer:
            return None
        try:
            tokenizer = tokenizer_files.read_tokenizer(path)
            if tokenizer is not None:
                tokenizer_files.check_fits(tokenizer, vocab_size)
            return tokenizer
        except UsageError as error:
            raise UsageError(f"{error} (`nanochat import --option tokenizer=false` takes the weights alone)") from None


def build_huggingface_importer(config: HuggingFaceImporterConfig) -> HuggingFaceImporter:
    """Factory of `huggingface`."""
    return HuggingFaceImporter(config)
