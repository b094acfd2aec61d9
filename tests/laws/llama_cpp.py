"""Stock llama.cpp as the judge of exported files, through the xllamacpp wheel.

The wheel offers llama.cpp's server, not its logits: a completion of one token with `n_probs` = vocabulary size gives the
logarithm of the softmax of every token, before sampling, as the decimal text of a float32. A sequence is judged by
prompts of growing length. Logits are therefore known up to a constant for each position; differences between log
probabilities are compared, with nothing else lost. Keys and values are kept in float32 and flash attention, which rounds
in the middle, is off, so that what is compared is the file and not a cache.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest


class Llama:
    """A GGUF file loaded by stock llama.cpp; the test that needs it is skipped where the wheel is not installed."""

    def __init__(self, path: Path, n_ctx: int = 256) -> None:
        xllamacpp: Any = pytest.importorskip(
            "xllamacpp", reason="stock llama.cpp is judged through the xllamacpp wheel"
        )
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = n_ctx
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.n_gpu_layers = 0
        params.warmup = params.fit_params = False
        params.verbosity = 0
        self._server = xllamacpp.Server(params)

    def log_probabilities(self, tokens: Sequence[int], vocab_size: int) -> npt.NDArray[np.float32]:
        """After each token, the log probability of every next one: (len(tokens), vocab_size)."""
        return np.stack([self.log_probabilities_after(tokens[: last + 1], vocab_size) for last in range(len(tokens))])

    def log_probabilities_after(self, tokens: Sequence[int], vocab_size: int) -> npt.NDArray[np.float32]:
        """After the last token, (vocab_size,). What the server has seen before is not computed again."""
        row = np.full(vocab_size, np.nan, dtype=np.float32)
        for entry in self._next(tokens, vocab_size):
            row[entry["id"]] = entry["logprob"]
        assert not np.isnan(row).any(), "the server left tokens out"
        return row

    def _next(self, prompt: Sequence[int], n_probs: int) -> list[dict[str, Any]]:
        request = {"prompt": list(prompt), "n_predict": 1, "n_probs": n_probs, "temperature": 0, "cache_prompt": True}
        answer = self._server.handle_completions(request)
        entries: list[dict[str, Any]] = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return entries

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text by llama.cpp's own tokenizer, special tokens as plain text, with bos."""
        body = {"content": text, "add_special": True, "parse_special": False}
        return [int(token) for token in self._post("/tokenize", body)["tokens"]]

    def chat_prompt(self, messages: list[dict[str, str]]) -> str:
        """The messages as the file's template renders them."""
        return str(self._post("/apply-template", {"messages": messages})["prompt"])

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self._server.listening_address + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())
