"""Text to tokens to batches: tokenizer, token files, preparation, the resumable loader."""
