"""File formats that trained models are written in and read from."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.exporter(
        "gguf",
        config=".config:GgufConfig",
        factory=".gguf.exporter:build_gguf_exporter",
        summary="GGUF: for stock llama.cpp where its architectures can carry the model, else in our own documented keys",
    )
    registrar.exporter(
        "mhc",
        config=".config:MhcFileConfig",
        factory=".mhc_file:build_mhc_exporter",
        summary="The mixing weights of an mHC model, as the .mhc file of the earlier system",
    )
    registrar.exporter(
        "huggingface",
        config=".config:HuggingFaceConfig",
        factory=".huggingface.exporter:build_huggingface_exporter",
        summary="A folder for transformers: Llama, or Qwen3 where heads are normalised",
    )
    registrar.exporter(
        "safetensors",
        config=".config:SafetensorsConfig",
        factory=".safetensors_file:build_safetensors_exporter",
        summary="One safetensors file with codes, scales, configuration and tokenizer, bit for bit",
    )
    registrar.importer(
        "gguf",
        config=".config:GgufImporterConfig",
        factory=".gguf.importer:build_gguf_importer",
        summary="GGUF files of this exporter, and llama-architecture files of others",
        suffixes=(".gguf",),
    )
    registrar.importer(
        "huggingface",
        config=".config:HuggingFaceImporterConfig",
        factory=".huggingface.importer:build_huggingface_importer",
        summary="Folders of transformers: Llama, Qwen3 and Qwen3Moe, weights in safetensors",
        markers=("config.json",),
    )
    registrar.importer(
        "safetensors",
        config=".config:SafetensorsConfig",
        factory=".safetensors_file:build_safetensors_importer",
        summary="Safetensors files of this exporter",
        suffixes=(".safetensors",),
    )
