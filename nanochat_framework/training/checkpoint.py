"""What a checkpoint holds, and taking it back: weights, optimizer state by parameter name, place in the data.

Layout of a checkpoint folder: `model.safetensors` (float32 master weights), `objectives.safetensors` (parameters of
objectives, if they have any), `ema.safetensors` (the average of the model's weights, if training keeps one),
`optimizer_state.safetensors` (`parameter/slot`), `meta.json`, `tokenizer.json` and the manifest of the store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.training.train_module import TrainModule

SCHEMA_VERSION = 1
MODEL, OBJECTIVES, AVERAGE, OPTIMIZER, META = (
    "model.safetensors",
    "objectives.safetensors",
    "ema.safetensors",
    "optimizer_state.safetensors",
    "meta.json",
)
_OBJECTIVE_PREFIX = "objective."
ORIGIN_FACTS = ("name", "architecture", "chat_template")
"""What is remembered of a model that came from a file, however far it is trained from there."""


@dataclass(frozen=True)
class CheckpointMeta:
    """`meta.json`: the configuration and where the run stood. `loop` is `Trainer.state()`, `module` the module's."""

    config: dict[str, Any]
    components: list[dict[str, Any]]
    loop: dict[str, Any]
    module: dict[str, Any]
    attempt: int
    imported: dict[str, str] = field(default_factory=dict)
    """`ORIGIN_FACTS` of the model whose weights it began with; empty for random ones."""

    @property
    def step(self) -> int:
        """The last step done."""
        return int(self.loop["step"])

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the random generator's state."""
        return {
            "schema_version": SCHEMA_VERSION,
            "step": self.loop["step"],
            "tokens": self.loop["tokens"],
            "attempt": self.attempt,
            **({"imported": self.imported} if self.imported else {}),
            "config": self.config,
            "components": self.components,
            "callbacks": self.loop["callbacks"],
            "module": self.module,
            "rng": {"torch": bytes(torch.get_rng_state().tolist()).hex()},
        }


def write_checkpoint(folder: Path, module: TrainModule, meta: CheckpointMeta, tokenizer: Path | None) -> None:
    """Write the files of a checkpoint into an existing folder."""
    weights = {p.name: p.tensor.detach() for p in module.parameters}
    model = {name: tensor for name, tensor in weights.items() if not name.startswith(_OBJECTIVE_PREFIX)}
    objectives = {name: tensor for name, tensor in weights.items() if name not in model}
    save_tensors(model, folder / MODEL)
    if objectives:
        save_tensors(objectives, folder / OBJECTIVES)
    if module.average is not None:
        save_tensors(module.average.tensors, folder / AVERAGE)
    save_tensors(module.optimizers.state_tensors(), folder / OPTIMIZER)
    (folder / META).write_text(json.dumps(meta.to_json(), indent=1, sort_keys=True) + "\n")
    if tokenizer is not None:
        (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())


def origin_of(bundle: ModelBundle) -> dict[str, str]:
    """What is to be remembered of a model whose weights are taken."""
    return {fact: str(bundle.metadata[fact]) for fact in ORIGIN_FACTS if fact in bundle.metadata}


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors, in the order of their names."""
    save_file({name: tensors[name].contiguous() for name in sorted(tensors)}, path)


def read_meta(folder: Path) -> dict[str, Any]:
    """`meta.json` of a checkpoint. Raises UsageError if it is no checkpoint or of a later version."""
    try:
        meta: dict[str, Any] = json.loads((folder / META).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}: not a checkpoint ({error})") from None
    if meta.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(
            f"{folder}: checkpoint schema {meta.get('schema_version')}, this version reads {SCHEMA_VERSION}"
        )
    return meta


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file. Raises UsageError if it is unreadable."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None


@torch.no_grad()
def restore_checkpoint(folder: Path, module: TrainModule, meta: Mapping[str, Any]) -> None:
    """Put weights, optimizer state and the random generator back. Raises UsageError where they do not fit the model."""
    weights = read_tensors(folder / MODEL)
    if (folder / OBJECTIVES).exists():
        weights.update(read_tensors(folder / OBJECTIVES))
    expected = {p.name: p.tensor for p in module.parameters}
    if set(weights) != set(expected):
        odd = sorted(set(weights) ^ set(expected))
        raise UsageError(f"{folder}: its tensors are not this model's ({odd[0]}{' ...' if len(odd) > 1 else ''})")
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise UsageError(f"{folder}: {name} is {tuple(tensor.shape)}, the model has {tuple(expected[name].shape)}")
        expected[name].copy_(tensor)
    if module.average is not None:
        module.average.load(read_tensors(folder / AVERAGE), folder)
    module.optimizers.load_state_tensors(read_tensors(folder / OPTIMIZER))
    if "module" in meta:
        module.load_state(meta["module"])
    torch.set_rng_state(torch.tensor(list(bytes.fromhex(meta["rng"]["torch"])), dtype=torch.uint8))
