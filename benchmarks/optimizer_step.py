"""How long an optimizer step takes, beside the forward and backward pass it follows.

    python benchmarks/optimizer_step.py [--dim 256 --layers 4 --ffn 512 --vocab 4096 --tokens 2048 --repeats 15]

The cases take turns, so that whatever else the machine does falls on all of them alike; the figure is the median.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.kernels.table import KernelTable, activate
from nanochat_framework.model.build import build_model
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.plugins import load_plugins
from nanochat_framework.training.optimizer_groups import OptimizerGroups

CASES: dict[str, list[dict[str, Any]]] = {
    "muon + lion": [{"match": "matrix", "name": "muon"}, {"match": "*", "name": "lion"}],
    "muon (fp32) + lion": [
        {"match": "matrix", "name": "muon", "orthogonalize_in": "fp32"},
        {"match": "*", "name": "lion"},
    ],
    "muon + adamw": [{"match": "matrix", "name": "muon"}, {"match": "*", "name": "adamw"}],
    "lion": [{"match": "*", "name": "lion"}],
    "adamw": [{"match": "*", "name": "adamw"}],
}


def configuration(arguments: argparse.Namespace, rules: list[dict[str, Any]], **changes: Any) -> RunConfig:
    """A ternary decoder of the given size with the given optimizers."""
    heads = max(arguments.dim // 64, 1)
    model = {
        "name": "decoder",
        "dim": arguments.dim,
        "n_layers": arguments.layers,
        "vocab_size": arguments.vocab,
        "max_seq_len": 512,
        "tie_embeddings": True,
        "attention": {"name": "gqa", "n_heads": heads, "n_kv_heads": max(heads // 2, 1), "head_dim": 64},
        "ffn": {"name": "swiglu", "hidden_dim": arguments.ffn},
        "norm": "rms",
        "residual": "add",
    }
    table = {
        "model": model,
        "quantizer": [{"match": "matrix", "name": "ternary"}],
        "optimizer": rules,
        "schedule": "wsd",
        "data": {"source": "synthetic", "seq_len": 512},
        "train": {"steps": 1000, **changes},
    }
    return RunConfig.model_validate(table, context={"registry": load_plugins().registry})


def optimizer_case(arguments: argparse.Namespace, rules: list[dict[str, Any]]) -> Callable[[], None]:
    """One update of every parameter of a model, with gradients that stay the same."""
    config = configuration(arguments, rules)
    parameters = named_parameters(build_model(config.model))
    groups = OptimizerGroups(parameters, config.optimizer, config.schedule, config.train.steps)
    for parameter in parameters:
        parameter.tensor.grad = torch.randn_like(parameter.tensor)
    return lambda: groups.step(500)


def torch_case(arguments: argparse.Namespace) -> Callable[[], None]:
    """torch.optim.Muon on the matrices and its fused AdamW on the rest."""
    config = configuration(arguments, CASES["lion"])
    parameters = named_parameters(build_model(config.model))
    for parameter in parameters:
        parameter.tensor.grad = torch.randn_like(parameter.tensor)
    muon: Any = torch.optim.Muon([p.tensor for p in parameters if p.role == "matrix"], lr=0.02)
    adamw = torch.optim.AdamW([p.tensor for p in parameters if p.role != "matrix"], lr=1e-3, fused=True)

    def step() -> None:
        muon.step()
        adamw.step()

    return step


def pass_case(arguments: argparse.Namespace, precision: str) -> Callable[[], None]:
    """Forward and backward of the ternary model, weights quantised anew as after an update."""
    config = configuration(arguments, CASES["lion"], precision=precision)
    model: LanguageModel = build_model(config.model, config.quantizer, precision=precision)
    tokens = torch.randint(arguments.vocab, (max(arguments.tokens // 512, 1), min(arguments.tokens, 512)))

    def step() -> None:
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(1.0)
        logits = model(tokens)
        torch.autograd.backward(functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()))
        model.zero_grad(set_to_none=True)

    return step


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Time of an optimizer step.")
    for name, default in (("dim", 256), ("layers", 4), ("ffn", 512), ("vocab", 4096), ("tokens", 2048)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    activate(KernelTable(load_plugins().registry))
    cases = {name: optimizer_case(arguments, rules) for name, rules in CASES.items()}
    cases["torch.optim: muon + adamw"] = torch_case(arguments)
    for precision in ("fp32", "bf16"):
        cases[f"forward and backward, {precision}"] = pass_case(arguments, precision)
    times: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(arguments.repeats + 1):
        for name, case in cases.items():
            started = time.perf_counter()
            case()
            if repeat:  # the first round warms up
                times[name].append((time.perf_counter() - started) * 1e3)
    whole = statistics.median(times["forward and backward, bf16"])
    print(f"{arguments.tokens} tokens, {arguments.threads} threads, median of {arguments.repeats}")
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"{name:<30} {median:9.2f} ms   {median / whole:6.1%} of a bf16 pass   best {min(measured):.2f}")


if __name__ == "__main__":
    main()
