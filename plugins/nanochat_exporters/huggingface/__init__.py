"""Folders as transformers reads and writes them: `config.json`, safetensors, `tokenizer.json`."""
