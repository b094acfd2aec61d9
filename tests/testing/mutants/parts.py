"""Broken parts of models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nanochat_attention.config import GqaConfig
from nanochat_attention.gqa import GroupedQueryAttention
from nanochat_ffn.config import SwigluConfig
from nanochat_ffn.swiglu import Swiglu
from nanochat_framework.contracts.norm import Norm
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.state import KeyValueState, SequenceState
from nanochat_models.config import DecoderConfig
from nanochat_models.decoder import Decoder
from nanochat_residual.add import AddResidual
from tests.probes.recurrent import Recurrent
from tests.probes.two_streams import TwoStreams
from tests.testing.mutants.configs import NoSettings
from tests.testing.mutants.record import mutant

GQA = "nanochat_attention.config:GqaConfig"
SWIGLU = "nanochat_ffn.config:SwigluConfig"
NO_SETTINGS = "tests.testing.mutants.configs:NoSettings"
DECODER = "nanochat_models.config:DecoderConfig"


@mutant("attention", "is_causal", GQA)
class SeesTheFuture(GroupedQueryAttention):
    """Adds the mean of the whole sequence."""

    def forward(self, x: Tensor, positions: Tensor, **context: Any) -> Tensor:
        return super().forward(x, positions, **context) + 0.01 * x.mean(dim=1, keepdim=True)


@mutant("attention", "pieces_equal_the_whole", NO_SETTINGS)
class Forgets(Recurrent):
    """Its state begins anew with every piece."""

    def __init__(self, config: NoSettings, *, place: Place) -> None:
        super().__init__(place)

    def forward(self, x: Tensor, positions: Tensor, *, state: SequenceState | None = None, **more: Any) -> Tensor:
        fresh = self.new_state(x.shape[0])
        mixed = super().forward(x, positions, state=fresh if state is not None else None, **more)
        if state is not None:
            state.append(*fresh.tensors)  # type: ignore[attr-defined]
            state.advance(x.shape[1])  # type: ignore[attr-defined]
        return mixed


@mutant("attention", "documents_are_alone", GQA)
class MixesDocuments(GroupedQueryAttention):
    """Lets documents of a row see each other."""

    def forward(self, x: Tensor, positions: Tensor, *, documents: Any = None, **more: Any) -> Tensor:
        return super().forward(x, positions, **more)


@mutant("attention", "rows_do_not_meet", GQA)
class SeesPadding(GroupedQueryAttention):
    """Looks at places that a shorter row does not have."""

    def forward(self, x: Tensor, positions: Tensor, *, state: SequenceState | None = None, **more: Any) -> Tensor:
        padding = None if state is None else state.padding
        if state is not None:
            state.padding = None
        mixed = super().forward(x, positions, state=state, **more)
        if state is not None:
            state.padding = padding
        return mixed


class SharesItsBuffers(KeyValueState):
    """A fork that is the state itself."""

    def fork(self) -> KeyValueState:
        return self


@mutant("attention", "states_can_be_restored_and_forked", GQA)
class ForksItself(GroupedQueryAttention):
    """Forks of its states are no copies."""

    def new_state(self, batch_size: int) -> SequenceState:
        return SharesItsBuffers(batch_size, self.n_kv_heads, self.head_dim, self.max_seq_len)


@mutant("attention", "every_parameter_gets_a_gradient", GQA)
class DetachesItsKeys(GroupedQueryAttention):
    """No gradient reaches the map of the keys."""

    def __init__(self, config: GqaConfig, place: Place) -> None:
        super().__init__(config, place)
        self.key.register_forward_hook(lambda module, inputs, output: output.detach())
        self.key.quantize_with(None)

    def forward(self, x: Tensor, positions: Tensor, **context: Any) -> Tensor:
        weight = self.key.weight
        self.key.weight = nn.Parameter(weight.detach())
        try:
            return super().forward(x, positions, **context)
        finally:
            self.key.weight = weight


@mutant("attention", "added_values_join_the_values", GQA)
class LosesWhatIsAdded(GroupedQueryAttention):
    """Says that values can be added to, and adds nothing."""

    def forward(self, x: Tensor, positions: Tensor, *, added_values: Tensor | None = None, **more: Any) -> Tensor:
        return super().forward(x, positions, **more)


@mutant("attention", "the_description_is_the_module", "tests.testing.mutants.configs:WrongShape")
class IsNotAsDescribed(GroupedQueryAttention):
    """Its configuration describes more heads than it has."""


@mutant("attention", "every_parameter_has_a_role", GQA)
class HasNoRoles(GroupedQueryAttention):
    """One parameter more, whose role nobody names."""

    def __init__(self, config: GqaConfig, place: Place) -> None:
        super().__init__(config, place)
        self.bias = nn.Parameter(torch.zeros(place.dim))


@mutant("ffn", "positions_do_not_meet", SWIGLU)
class LeaksAcrossPositions(Swiglu):
    """Takes the mean over positions away."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - 0.1 * x.mean(dim=1, keepdim=True))


@mutant("ffn", "keeps_shape_and_dtype", SWIGLU)
class WidensToFloat32(Swiglu):
    """Gives float32, whatever it gets."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


@mutant("ffn", "the_factory_builds_the_contract", SWIGLU)
def no_feed_forward(config: SwigluConfig, *, place: Place) -> nn.Module:
    return nn.Identity()


class Standard(Norm):
    """x / sqrt(mean(x²)), with gains; `over` are the dimensions of the mean."""

    over: tuple[int, ...] = (-1,)

    def __init__(self, config: NoSettings, *, place: Place) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(place.dim))
        self.parameter_roles = {"gain": roles.NORM}

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        normed = wide * torch.rsqrt(wide.square().mean(dim=self.over, keepdim=True) + 1e-6) * self.gain
        return normed.to(x.dtype)


@mutant("norm", "positions_do_not_meet", NO_SETTINGS)
class AveragesPositions(Standard):
    """Statistics over positions too."""

    over = (-2, -1)


@mutant("norm", "statistics_are_float32", NO_SETTINGS)
class NarrowStatistics(Standard):
    """Sums squares in the dtype of the input, one after another."""

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros_like(x[..., :1])
        for channel in range(x.shape[-1]):
            total = total + x[..., channel : channel + 1].square() / x.shape[-1]
        return x * torch.rsqrt(total + 1e-6) * self.gain.to(x.dtype)


@mutant("norm", "zeros_and_large_numbers_stay_finite", NO_SETTINGS)
class DividesByZero(Standard):
    """Has nothing under the root but the mean."""

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide / wide.square().mean(dim=-1, keepdim=True).sqrt() * self.gain).to(x.dtype)


@mutant("residual", "every_parameter_gets_a_gradient", NO_SETTINGS)
class DeadMixing(TwoStreams):
    """Has weights for mixing, and never mixes."""

    def __init__(self, config: NoSettings, *, place: Place) -> None:
        super().__init__(place)

    def write(self, state: Any, y: Tensor, sublayer: int) -> Tensor:
        strength = self.write_weight[sublayer].to(state.dtype)
        written: Tensor = state + strength[:, None, None, None] * y
        return written


class Plain(AddResidual):
    """Takes what a factory gets."""

    def __init__(self, config: NoSettings, *, place: Place) -> None:
        super().__init__()


@mutant("residual", "nothing_is_changed_in_place", NO_SETTINGS)
class WritesInPlace(Plain):
    """Adds to the tensor it was given."""

    def write(self, state: Any, y: Tensor, sublayer: int) -> Tensor:
        with torch.no_grad():
            state += y
        stream: Tensor = state
        return stream


@mutant("residual", "a_deep_stream_stays_finite", NO_SETTINGS)
class Explodes(Plain):
    """Doubles the stream at each write."""

    def write(self, state: Any, y: Tensor, sublayer: int) -> Tensor:
        return super().write(2 * state, y, sublayer)


@mutant("residual", "what_is_written_is_read", NO_SETTINGS)
class LosesTheFirst(Plain):
    """What the first sub-layer writes goes nowhere."""

    def write(self, state: Any, y: Tensor, sublayer: int) -> Tensor:
        return super().write(state, y, sublayer) if sublayer else state + 0 * y


@mutant("residual", "streams_are_as_many_as_it_says", NO_SETTINGS)
class CountsWrong(TwoStreams):
    """Two streams that say they are one."""

    streams = 1

    def __init__(self, config: NoSettings, *, place: Place) -> None:
        super().__init__(place)


@mutant("model", "head_parameters_are_those_of_the_logits", DECODER)
class HidesItsHead(Decoder):
    """Says that logits read another parameter."""

    def head_parameters(self) -> list[nn.Parameter]:
        return [self.embedding.weight]


@mutant("model", "shapes_are_as_said", DECODER)
class NarrowLogits(Decoder):
    """Logits in the dtype of the hidden states."""

    def logits(self, hidden: Tensor) -> Tensor:
        return super().logits(hidden).to(hidden.dtype)


@mutant("model", "layers_can_be_wrapped", DECODER)
class CountsItsCalls(Decoder):
    """A layer that does something else the second time."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.calls = 0
        for block in self.blocks:
            block.ffn.register_forward_hook(self._louder)

    def _louder(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        self.calls += 1
        return output * (1 + 0.1 * (self.calls % 2)) if not self.training else output
