"""The whole configuration of a run: one frozen object, one field a TOML table."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nanochat_framework.config.component import StrictModel
from nanochat_framework.config.data_section import MOST_AT_A_TIME, DataSection
from nanochat_framework.config.merge import BUDGETS
from nanochat_framework.config.rules import OptimizerRule, QuantizerRule, TokenFilterTable
from nanochat_framework.config.selection import Select, Selected
from nanochat_framework.machine.cpu import MOST_THREADS

OPEN_END = 10**9
"""Steps that are planned for where nobody knows yet how many there will be."""


class Section(StrictModel):
    """A plain table of settings."""


class TrainSection(Section):
    """`[train]`: how long, how much at a time, how precisely."""

    steps: int | None = Field(default=None, gt=0, le=OPEN_END, description="Optimizer steps of the whole run.")
    tokens: int | None = Field(
        default=None,
        gt=0,
        le=10**15,
        description="Tokens to train on, instead of steps: the fewest steps that reach them.",
    )
    tokens_per_parameter: float | None = Field(
        default=None,
        gt=0,
        le=10**6,
        description="Tokens to train on for each parameter of the model, instead of steps.",
    )
    max_hours: float | None = Field(
        default=None,
        gt=0,
        le=10**5,
        description="Hours to train, instead of steps: the first steps are timed, then their number is fixed.",
    )
    init_from: str | None = Field(
        default=None,
        description="Run, checkpoint folder or model file whose weights training begins with; absent: random ones.",
    )
    batch_size: int = Field(
        default=8, gt=0, le=MOST_AT_A_TIME, description="Most sequences in one micro-batch on one device."
    )
    gradient_accumulation: int = Field(
        default=1,
        gt=0,
        le=MOST_AT_A_TIME,
        description="Micro-batches of batch_size sequences in one optimizer step; several devices share them out.",
    )
    batch_tokens: int | None = Field(
        default=None,
        gt=0,
        le=10**12,
        description="Tokens in one optimizer step over all devices, instead of gradient_accumulation.",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32",
        description="Number format of activations and matrix products; master weights are fp32. fp16 scales the loss.",
    )
    activation_checkpointing: Literal["none", "block", "selective"] = Field(
        default="none",
        description="What is computed again in the backward pass instead of kept: nothing, each layer, or each layer but "
        "its matrix products and attention.",
    )
    compile: bool = Field(
        default=False,
        description="Compile the model's parts with torch.compile: the first run waits for it, every step is faster.",
    )
    grad_clip: float = Field(default=1.0, ge=0, description="Largest global L2 norm of the gradient; 0 turns it off.")
    ema_decay: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Keep a running average of the weights too, in which those of n steps ago count ema_decay^n; "
        "`--weights ema` picks it. Absent: none.",
    )
    loss_chunk: int = Field(default=1024, gt=0, description="Rows (tokens) of logits that exist at one time.")
    log_every: int = Field(default=10, gt=0, description="Steps between metrics records.")
    max_skipped_steps: int = Field(
        default=10, ge=0, description="Consecutive steps with a non-finite loss or gradient before the run fails."
    )
    spike_sigma: float = Field(
        default=0.0,
        ge=0,
        description="Skip a step whose loss or gradient norm lies this many standard deviations above the mean of the "
        "last spike_window steps; 0 never does. OLMo's value is 6.",
    )
    spike_window: int = Field(default=128, ge=2, le=10**6, description="Steps that spike_sigma looks back over.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of initial weights and data order.")

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        given = [key for key in BUDGETS if getattr(self, key) is not None]
        if len(given) != 1:
            found = f"there are {' and '.join(given)}" if given else "there is none"
            raise ValueError(f"say how long to train with one of {', '.join(BUDGETS)}; {found}")
        if self.batch_tokens is not None and "gradient_accumulation" in self.model_fields_set:
            raise ValueError("batch_tokens and gradient_accumulation say the same; give one")
        return self

    @property
    def most_steps(self) -> int:
        """The steps of the run; OPEN_END where `max_hours` decides. `budgets.settle` has turned tokens into steps."""
        assert self.steps is not None or self.max_hours is not None, "settle the budget first"
        return self.steps or OPEN_END


class EvalSection(Section):
    """`[eval]`: held-out loss during training."""

    every: int = Field(default=500, ge=0, description="Steps between evaluations; 0 turns them off.")
    batches: int = Field(default=50, gt=0, description="Micro-batches of held-out data in one evaluation.")


class SampleSection(Section):
    """`[sample]`: texts that the model writes during training, into samples.jsonl."""

    prompts: tuple[str, ...] = Field(default=(), description="Texts to go on from; none: no samples.")
    every: int = Field(default=500, gt=0, description="Steps between samples; there are some after the last step too.")
    max_tokens: int = Field(default=64, gt=0, description="Tokens of a text at most.")
    temperature: float = Field(
        default=0.8, ge=0, allow_inf_nan=False, description="Divides the scores before drawing; 0 takes the likeliest."
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of each text, the same at every step.")


class CheckpointSection(Section):
    """`[checkpoint]`: what is kept."""

    every: int = Field(default=1000, gt=0, description="Steps between checkpoints.")
    keep_last: int = Field(default=3, gt=0, description="Step checkpoints kept; best and final are kept besides.")


class MonitorSection(Section):
    """`[monitor]`: readings of the machine, and alerts."""

    every_seconds: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="Seconds between readings of the machine; 0: no readings, and no alerts of stalls and full disks.",
    )
    loss_rise: float = Field(
        default=1.0,
        ge=0,
        description="Alert when the smoothed loss lies this many nats above its minimum of the last 1000 steps; 0 never does.",
    )
    stall_factor: float = Field(
        default=20.0,
        ge=0,
        description="Alert when nothing happens for this many times the usual time of a step; 0 never does.",
    )
    stall_seconds: float = Field(
        default=60.0, gt=0, description="Silence shorter than these seconds is no stall, however fast the steps are."
    )
    disk_free_gb: float = Field(
        default=1.0,
        ge=0,
        description="Alert when the run's disk has less left than these 10^9 bytes, or than two checkpoints; 0 never does.",
    )
    repeat_minutes: float = Field(
        default=30.0, ge=0, description="Minutes before the same kind of alert is told again."
    )


class HardwareSection(Section):
    """`[hardware]`: where it runs."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="Device to train on.")
    threads: int = Field(default=0, ge=0, le=MOST_THREADS, description="CPU threads; 0 takes all cores.")
    peak_tflops: float = Field(
        default=0.0,
        ge=0,
        description=(
            "What one device does at most at the training's precision, in TFLOP/s, for `train/mfu`; 0: as NVIDIA states "
            "it of some GPUs in bf16 and fp16, and no `train/mfu` on others."
        ),
    )


class RunConfig(BaseModel):
    """Everything a run is made from. Build it with `config.load.load_config`, which reports every mistake at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[Selected[Any], Select("model")] = Field(description="The network.")
    quantizer: tuple[QuantizerRule, ...] = Field(default=(), description="What is quantised in training; first match.")
    objective: tuple[Annotated[Selected[Any], Select("objective")], ...] = Field(
        default=(), description="Terms of the loss beside cross-entropy."
    )
    token_filter: TokenFilterTable | None = Field(
        default=None, description="Which tokens are learned from; absent: all of them."
    )
    optimizer: tuple[OptimizerRule, ...] = Field(min_length=1, description="Update rules; first match wins.")
    schedule: Annotated[Selected[Any], Select("schedule")] = Field(description="Learning-rate multiplier by step.")
    data: DataSection = Field(description="What is trained on.")
    train: TrainSection = Field(description="How long, how much at a time, how precisely.")
    eval: EvalSection = Field(default_factory=EvalSection, description="Held-out loss during training.")
    sample: SampleSection = Field(
        default_factory=SampleSection, description="Texts that the model writes during training."
    )
    checkpoint: CheckpointSection = Field(default_factory=CheckpointSection, description="What is kept.")
    monitor: MonitorSection = Field(default_factory=MonitorSection, description="Readings of the machine, and alerts.")
    hardware: HardwareSection = Field(default_factory=HardwareSection, description="Where it runs.")
    callback: tuple[Annotated[Selected[Any], Select("callback")], ...] = Field(
        default=(), description="What else is done beside the training loop."
    )
    tracker: tuple[Annotated[Selected[Any], Select("tracker")], ...] = Field(
        default=(), description="Where metrics go besides the run's folder."
    )

    def to_dict(self) -> dict[str, Any]:
        """Plain data that reads back to an equal object; also what TOML and JSON copies are written from."""
        return self.model_dump(mode="json", exclude_none=True)


RESERVED_SECTIONS = {
    "stage": "stages after pretraining",
    "tokenizer": "tokenizer settings",
}
"""Tables whose names are kept for parts that are not there yet; using one is an error that says so."""
