"""Peak memory of a training step, itemised, by micro-batch size.

A step has four moments that can be its peak: the end of the forward pass (all activations are kept, the last ones are
being rounded), the loss (one chunk of logits exists), the start of the backward pass (with its first temporaries), and
the update (all gradients and the optimizer's workspace). The plan adds up what is alive at each and reports the largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanochat_framework.config.phases import Phase, largest_phase
from nanochat_framework.config.quantization import quantised, traits
from nanochat_framework.config.quantizer_config import QuantizerConfig
from nanochat_framework.config.rules import quantizer_match
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model import roles
from nanochat_framework.planning.activations import Activations, activations
from nanochat_framework.planning.device import (
    HEAP_BLOCK_BYTES,
    allocator_bytes,
    library_bytes,
    planned_device,
    runtime_bytes,
)
from nanochat_framework.planning.inventory import BLOCKS, Inventory, take_inventory
from nanochat_framework.planning.kept import FP32
from nanochat_framework.planning.optimizer_memory import GroupMemory, optimizer_groups

ITEMSIZE = {"fp32": 4, "bf16": 2, "fp16": 2}
FORWARD, LOSS, BACKWARD, UPDATE = "forward", "loss", "backward", "update"
TOKEN_ID = 8
"""Bytes."""
FREED_WHEN_FUSED = 0.6
"""Share of a forward pass's temporaries that compiled code still makes (measured)."""
LARGEST_BATCH_SIZE = 2**24
"""The largest micro-batch that is considered, in sequences."""


@dataclass(frozen=True)
class MemoryRow:
    """Bytes alive at the peak of a step with one micro-batch size. `state` is None if an optimizer does not say.

    `whole` is false where the configuration has something whose size is not known before it runs.
    """

    batch_size: int
    phase: str
    weights: int
    average: int
    copies: int
    gradients: int
    state: int | None
    activations: int
    temporaries: int
    data: int
    allocator: int
    libraries: int
    runtime: int
    whole: bool = True

    @property
    def complete(self) -> bool:
        """Whether everything is known; otherwise `total` is a lower bound."""
        return self.whole and self.state is not None

    @property
    def total(self) -> int:
        """The sum of the items."""
        return sum(self.items().values())

    @property
    def training(self) -> int:
        """All but what the process takes while idle."""
        return self.total - self.runtime

    @property
    def tensors(self) -> int:
        """Bytes of tensors alive, without what holds and computes them."""
        return self.training - self.allocator - self.libraries

    def items(self) -> dict[str, int]:
        """Bytes by item, in the order of a table; what is unknown counts as 0."""
        return {
            "weights": self.weights,
            "average": self.average,
            "copies": self.copies,
            "gradients": self.gradients,
            "optimizer": self.state or 0,
            "activations": self.activations,
            "temporaries": self.temporaries,
            "data": self.data,
            "allocator": self.allocator,
            "libraries": self.libraries,
            "runtime": self.runtime,
        }


@dataclass(frozen=True)
class MemoryPlan:
    """Everything that does not depend on the batch, and what each token adds. Make one with `plan_memory`."""

    config: RunConfig
    device: str
    weights: int
    average: int
    """The running average of the model's weights, 0 where none is kept."""
    copies: int
    head_gradient: int
    all_gradients: int
    heap_gradients: int
    """Of parameters so small that an allocator's heap serves them."""
    groups: tuple[GroupMemory, ...]
    activations: Activations
    kept_logits: int
    """Tensors of the logits' size that terms of the loss keep beside those of cross-entropy, of one chunk."""
    itemsize: int
    shape: Phase
    """The phase of training whose micro-batches are the largest."""
    models_read: tuple[str, ...] = ()
    """Models that objectives keep in memory, which the plan does not count."""

    @property
    def complete(self) -> bool:
        """Whether everything is known; otherwise a row's `total` is a lower bound."""
        return self.state is not None and not self.models_read

    @property
    def state(self) -> int | None:
        """Optimizer state in bytes, None if one optimizer does not say."""
        states = [group.state for group in self.groups]
        return None if None in states else sum(state for state in states if state is not None)

    def row(self, batch_size: int) -> MemoryRow:
        """The peak with micro-batches of `batch_size` sequences."""
        tokens = batch_size * self.shape.seq_len
        kept = self.activations.kept(tokens)
        train = self.config.train
        # from the second micro-batch on every gradient is there from the start, from the second chunk on the head's
        earlier = self.all_gradients if self.shape.gradient_accumulation > 1 else 0
        before = max(earlier, self.head_gradient)
        at_loss = before if tokens > train.loss_chunk else earlier
        moments = {
            FORWARD: (earlier, kept, self.activations.forward(tokens, self.device)),
            LOSS: (at_loss, kept, self._loss_temporaries(tokens)),
            BACKWARD: (before, kept, self.activations.backward(tokens, self.device)),
            UPDATE: (self.all_gradients, self.activations.constant, self._update_temporaries()),
        }
        phase = max(moments, key=lambda name: sum(moments[name]))
        gradients, alive, temporaries = moments[phase]
        return MemoryRow(
            batch_size=batch_size,
            phase=phase,
            weights=self.weights,
            average=self.average,
            copies=self.copies,
            gradients=gradients,
            state=self.state,
            activations=alive,
            temporaries=temporaries,
            data=self._data(tokens),
            allocator=self._allocator(tokens),
            libraries=self._libraries(),
            runtime=runtime_bytes(self.device),
            whole=not self.models_read,
        )

    def _libraries(self) -> int:
        """What computing takes, and on a CPU what optimizers import for themselves."""
        train = self.config.train
        traces = train.activation_checkpointing != "none"
        of_optimizers = sum(group.libraries for group in self.groups) if self.device == "cpu" else 0
        return library_bytes(self.device, traces=traces, compiles=train.compile) + of_optimizers

    def largest_batch_size(self, memory_bytes: int) -> int | None:
        """The largest micro-batch that fits, 0 if none does, None if something is unknown."""
        if not self.complete:
            return None
        low, high = 0, 1
        while high < LARGEST_BATCH_SIZE and self.row(high).total <= memory_bytes:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.row(middle).total <= memory_bytes else (low, middle)
        return low

    def _data(self, tokens: int) -> int:
        """Inputs and targets: on a CPU those of this step and of the next, elsewhere one micro-batch's."""
        batches = 2 * self.shape.gradient_accumulation if self.device == "cpu" else 1
        return 2 * TOKEN_ID * tokens * batches

    def _allocator(self, tokens: int) -> int:
        """What the allocator holds beside live tensors."""
        kept = self.activations
        row = tokens * kept.dim * self.itemsize
        freed = kept.freed_per_token * (FREED_WHEN_FUSED if self.config.train.compile else 1)
        return allocator_bytes(
            self.device,
            kept=kept.kept(tokens),
            freed=int(freed * tokens),
            block=row,
            logits=self._chunk_of_logits(tokens),
            further_logits=self.kept_logits if tokens > self.config.train.loss_chunk else 0,
            gradients=self.heap_gradients,
            accumulates=self.shape.gradient_accumulation > 1,
        )

    def _loss_temporaries(self, tokens: int) -> int:
        """A chunk of logits with what its backward pass makes, the head's new gradient, the hidden states' gradient.

        Logits, their log-softmax, and the gradients of both are float32. When the head's gradient is made, logits and
        one gradient are left beside it; in bf16 it exists in both formats for a moment.
        """
        logits = self._chunk_of_logits(tokens)
        product = self.head_gradient + (self.head_gradient // 2 if self.itemsize < FP32 else 0)
        hidden_gradient = tokens * self.config.model.config.dim * self.itemsize
        return int(max(4 * logits, 2 * logits + product) + self.kept_logits * logits + hidden_gradient)

    def _chunk_of_logits(self, tokens: int) -> int:
        rows = min(self.config.train.loss_chunk, tokens)
        return int(rows * self.config.model.config.vocab_size * FP32)

    def _update_temporaries(self) -> int:
        """The hungriest optimizer's workspace; a tied embedding's gradient is made beside the head's just before."""
        return max([self.head_gradient, *(group.workspace for group in self.groups)])


def plan_memory(config: RunConfig, inventory: Inventory | None = None) -> MemoryPlan:
    """Plan the memory of training with a configuration.

    Raises UsageError for a parameter that no `[[optimizer]]` table takes.
    """
    inventory = take_inventory(config) if inventory is None else inventory
    shape = largest_phase(config)
    itemsize = ITEMSIZE[config.train.precision]
    parameters = sum(tensor.spec.size for tensor in inventory)
    return MemoryPlan(
        config=config,
        device=planned_device(config.hardware.device),
        weights=FP32 * parameters,
        average=0 if config.train.ema_decay is None else FP32 * sum(tensor.spec.size for tensor in inventory.model),
        copies=_copies(config, inventory, itemsize),
        head_gradient=FP32 * _head_parameters(inventory),
        all_gradients=FP32 * parameters,
        heap_gradients=sum(size for tensor in inventory if (size := FP32 * tensor.spec.size) < HEAP_BLOCK_BYTES),
        groups=tuple(optimizer_groups(config, inventory)),
        activations=activations(
            inventory,
            dim=config.model.config.dim,
            seq_len=shape.seq_len,
            itemsize=itemsize,
            rounded=_widest_rounded(config, inventory),
            checkpointing=config.train.activation_checkpointing,
        ),
        kept_logits=_kept_logits(config, inventory),
        itemsize=itemsize,
        shape=shape,
        models_read=tuple(model for term in config.objective if (model := getattr(term.config, "reads_model", None))),
    )


def largest_batch_size(config: RunConfig, memory_bytes: int) -> int | None:
    """The largest `train.batch_size` whose plan fits into that many bytes.

    0 if not even one sequence fits, None if it cannot be told because something does not state its memory.
    """
    return plan_memory(config).largest_batch_size(memory_bytes)


def memory_rows(plan: MemoryPlan, batch_sizes: Sequence[int]) -> list[MemoryRow]:
    """One row for each batch size, ascending, each once."""
    return [plan.row(size) for size in sorted(set(batch_sizes))]


def _copies(config: RunConfig, inventory: Inventory, itemsize: int) -> int:
    """What `model.weight` keeps beside the weights: those that are quantised as products use them, and in bf16 all."""
    total, tied, rounded = 0, _tied(inventory), _rounding(config, inventory)
    for tensor in inventory:
        spec = tensor.spec
        if len(spec.shape) < 2 or spec.role in (roles.NORM, roles.RESIDUAL, roles.CONV, roles.QUANTIZER_SCALE):
            continue
        multiplied = spec.role != roles.EMBEDDING or (tied and tensor.part != BLOCKS)
        if spec.name in rounded or (multiplied and itemsize < FP32):
            total += spec.size * itemsize
        if spec.name in rounded:
            total += spec.size * rounded[spec.name].kept_bytes()
    return total


def _kept_logits(config: RunConfig, inventory: Inventory) -> int:
    """Scores before they are capped, and what objectives say of themselves (`kept_logits`, a number)."""
    capped = inventory.description is not None and inventory.description.logit_softcap is not None
    return int(capped) + sum(int(getattr(term.config, "kept_logits", 0)) for term in config.objective)


def _rounding(config: RunConfig, inventory: Inventory) -> dict[str, QuantizerConfig]:
    """The quantised weights by name, each with what its quantizer says of itself."""
    specs = [tensor.spec for tensor in inventory.model if len(tensor.spec.shape) >= 2]
    if inventory.description is not None:
        taken = quantised(config.quantizer, inventory.description)
        built = {t.spec.name for t in inventory.model if not t.described}
        specs = [spec for spec in specs if spec.name in taken or spec.name in built]
    matches = {spec.name: quantizer_match(config.quantizer, spec.name, spec.role) for spec in specs}
    return {name: traits(config.quantizer[index]) for name, index in matches.items() if index is not None}


def _widest_rounded(config: RunConfig, inventory: Inventory) -> int:
    """Inputs of the widest map whose activations are rounded, 0 where there is none."""
    rounded = _rounding(config, inventory)
    widths = {tensor.spec.name: tensor.spec.shape[-1] for tensor in inventory.model if tensor.spec.shape}
    return max((widths[name] for name, quantizer in rounded.items() if quantizer.rounds_activations()), default=0)


def _tied(inventory: Inventory) -> bool:
    return not any(tensor.spec.role == roles.HEAD for tensor in inventory.model)


def _head_parameters(inventory: Inventory) -> int:
    """Parameters whose gradients are made at the loss: the head's (the tied table's) and the objectives'."""
    role = roles.EMBEDDING if _tied(inventory) else roles.HEAD
    head = sum(t.spec.size for t in inventory.model if t.spec.role == role and t.part != BLOCKS)
    return head + sum(tensor.spec.size for tensor in inventory.objectives)
