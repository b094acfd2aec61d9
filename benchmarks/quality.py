"""Held-out bits per byte of one preset trained three ways, over several seeds, on the same batches.

    python benchmarks/quality.py --data demo/data --steps 2000 --seeds 0 1 2 --output quality.jsonl

- `ternary`: the preset as it is.
- `dense`: the same without its quantizers.
- `llama`: transformers' `LlamaForCausalLM` of the same sizes with its own forward pass and its own initial weights, under
  the same optimizers, schedule, batches and clipping.

Each (way, seed) appends one line to the output, and is passed over if its line is there already.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from nanochat_framework.config.load import load_config
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.data.loader import Batch, PrefetchLoader
from nanochat_framework.model import roles
from nanochat_framework.model.state import SequenceState
from nanochat_framework.plugins import load_plugins
from nanochat_framework.training.evaluation import HeldOut
from nanochat_framework.training.optimizer_groups import OptimizerGroups
from nanochat_framework.training.setup import configure_process
from nanochat_framework.training.train_module import TrainModule
from nanochat_framework.training.training_data import TrainingData

WAYS = ("ternary", "dense", "llama")


class Llama(LanguageModel):
    """transformers' Llama behind the model contract, for evaluation with the same code."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        from transformers import LlamaConfig, LlamaForCausalLM

        attention, ffn = config.attention.config, config.ffn.config
        self.vocab_size, self.max_seq_len = config.vocab_size, config.max_seq_len
        self.llama = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=config.dim,
                intermediate_size=ffn.hidden_dim,
                num_hidden_layers=config.n_layers,
                num_attention_heads=attention.n_heads,
                num_key_value_heads=attention.n_kv_heads,
                head_dim=attention.head_dim,
                vocab_size=config.vocab_size,
                max_position_embeddings=config.max_seq_len,
                rms_norm_eps=config.norm.config.eps,
                rope_theta=attention.rope_theta,
                tie_word_embeddings=config.tie_embeddings,
            )
        )

    def hidden(
        self, tokens: Tensor, *, states: Sequence[SequenceState] | None = None, documents: Tensor | None = None
    ) -> Tensor:
        """(batch, seq) -> (batch, seq, dim)."""
        hidden: Tensor = self.llama.model(input_ids=tokens, use_cache=False).last_hidden_state
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., dim) -> (..., vocab_size)."""
        scores: Tensor = self.llama.lm_head(hidden)
        return scores.float()

    def head_parameters(self) -> list[nn.Parameter]:
        """The head's weight."""
        return [self.llama.lm_head.weight]

    def new_states(self, batch_size: int) -> list[SequenceState]:
        """It is not decoded with here."""
        raise TypeError("this wrapper trains and is evaluated only")

    def named(self) -> list[NamedParameter]:
        """Its parameters with our roles."""
        return [NamedParameter(name, _role(name), tensor) for name, tensor in self.llama.named_parameters()]


def _role(name: str) -> str:
    if "embed_tokens" in name:
        return roles.EMBEDDING
    if "norm" in name:
        return roles.NORM
    return roles.HEAD if name.startswith("lm_head") else roles.MATRIX


class LlamaModule:
    """One optimizer step of the Llama, written as its users write it."""

    def __init__(self, config: RunConfig) -> None:
        torch.manual_seed(config.train.seed)
        self.config, self.model = config, Llama(config.model.config)
        self.optimizers = OptimizerGroups(self.model.named(), config.optimizer, config.schedule, config.train.steps)

    def step(self, batches: Sequence[Batch], step: int) -> None:
        """Forward, backward, clip, update."""
        self.model.train()
        self.optimizers.zero_grad()
        for batch in batches:
            loss = nn.functional.cross_entropy(self.model(batch.tokens).flatten(0, 1), batch.targets.flatten())
            torch.autograd.backward(loss / len(batches))
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.grad_clip)
        self.optimizers.step(step)


def train(config: RunConfig, way: str) -> dict[str, Any]:
    """Train one way; held-out scores on the whole held-out file at the end, on the preset's share of it on the way."""
    if way != "ternary":
        config = config.model_copy(update={"quantizer": ()})
    data = TrainingData(config)
    module = LlamaModule(config) if way == "llama" else TrainModule(config, torch.device("cpu"))
    everything = config.eval.model_copy(update={"batches": 10**9})
    whole, part = TrainingData(config.model_copy(update={"eval": everything})).held_out(), data.held_out()
    assert isinstance(whole, HeldOut) and isinstance(part, HeldOut)
    loader = PrefetchLoader(data.plan())
    curve, started = {}, perf_counter()
    for step in range(1, config.train.steps + 1):
        module.step(loader.next(), step)
        if step % config.eval.every == 0:
            curve[step] = round(part.score(module.model)["eval/bits_per_byte"], 5)
            print(f"{way} seed {config.train.seed} step {step}: {curve[step]:.4f} bits/byte", flush=True)
    loader.close()
    parameters = sum(p.numel() for p in module.model.parameters())
    seconds = round(perf_counter() - started, 1)
    return {"parameters": parameters, "curve": curve, "seconds": seconds, **whole.score(module.model)}


def table(lines: list[dict[str, Any]]) -> str:
    """Mean and standard error of each way, and of each difference from `dense`, seed by seed."""
    scores = {(line["way"], line["seed"]): line["eval/bits_per_byte"] for line in lines}
    rows = ["| way | bits per byte by seed | mean | standard error | against dense |", "|---|---|---|---|---|"]
    for way in WAYS:
        found = {seed: score for (each, seed), score in sorted(scores.items()) if each == way}
        against = [score - scores[("dense", seed)] for seed, score in found.items() if ("dense", seed) in scores]
        cells = [", ".join(f"{score:.4f}" for score in found.values()), *_mean_and_error(list(found.values()))]
        rows.append(f"| {way} | {' | '.join(cells)} | {' ± '.join(_mean_and_error(against, sign='+'))} |")
    return "\n".join(rows)


def _mean_and_error(values: list[float], sign: str = "") -> tuple[str, str]:
    mean = f"{statistics.fmean(values):{sign}.4f}" if values else "-"
    return mean, f"{statistics.stdev(values) / len(values) ** 0.5:.4f}" if len(values) > 1 else "-"


def main() -> None:
    """Train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny-cpu")
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare-data wrote")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--threads", type=int, default=0, help="threads of the processor; 0: all")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    registry = load_plugins().registry
    lines = (
        [json.loads(line) for line in arguments.output.read_text().splitlines()] if arguments.output.exists() else []
    )
    for seed in arguments.seeds:
        overrides = [f"train.steps={arguments.steps}", f"train.seed={seed}", "hardware.device='cpu'"]
        overrides.append(f"hardware.threads={arguments.threads}")
        overrides.append(f"data.source.path={json.dumps(str(arguments.data / 'tokens.bin'))}")
        config = load_config(arguments.preset, registry=registry, overrides=overrides).config
        configure_process(config, registry)
        for way in arguments.ways:
            if any((line["way"], line["seed"]) == (way, seed) for line in lines):
                continue
            lines.append({"way": way, "seed": seed, "steps": arguments.steps, **train(config, way)})
            with arguments.output.open("a") as file:
                print(json.dumps(lines[-1]), file=file)
    print(table(lines))


if __name__ == "__main__":
    main()
