"""GGUF: block types, storage choice, the llama architecture, our own dialect, writing and reading."""
