"""What qwen35 has beside the parts of other architectures: gated attention, and gated delta nets in other layers.

Value heads of a delta net lie in another order there. Our value head h reads key head h // ratio, so those of one key
head are neighbours; ggml repeats the key heads as a whole, so its value head h reads key head h % n_heads. With as many
value heads as key heads the two are one. The decay is stored as -exp(decay_log).
"""

from __future__ import annotations

from typing import Any

import torch

from nanochat_exporters.gguf.checks import Shape
from nanochat_exporters.gguf.contents import Value
from nanochat_exporters.gguf.placement import Function, Placement, Swap, at, linear_at, norm_at
from nanochat_framework.model.description import GatedDeltaNet, ModelDescription, SoftmaxAttention

MINUS_EXP = Function(lambda log: -torch.exp(log), lambda rate: torch.log(-rate))


def keys(description: ModelDescription, shape: Shape) -> dict[str, Value]:
    """Keys of rotary sections, of delta nets, and of which layers have them."""
    net, rotary = shape.recurrence, shape.attention.rotary
    assert net is not None and rotary is not None
    found: dict[str, Value] = {
        "rope.dimension_sections": rotary_sections(rotary.head_dim // 2),
        "ssm.conv_kernel": net.convolution.shape[1],
        "ssm.state_size": net.head_dim,
        "ssm.group_count": net.n_heads,
        "ssm.time_step_rank": net.n_value_heads,
        "ssm.inner_size": net.n_value_heads * net.head_dim,
    }
    recurrent = [isinstance(block.mixer, GatedDeltaNet) for block in description.blocks]
    interval = recurrent.index(False) + 1
    if recurrent == recurrent_by_interval(len(recurrent), interval):
        found["full_attention_interval"] = interval
    else:
        found["attention.recurrent_layers"] = recurrent
    return found


def recurrent_by_interval(n_layers: int, interval: int) -> list[bool]:
    """Which layers are delta nets where every `interval`-th has softmax attention."""
    return [(layer + 1) % interval != 0 for layer in range(n_layers)]


def rotary_sections(pairs: int) -> list[int]:
    """How many pairs turn by time, height and width, in turn (in text the three are equal), and how many by a fourth.

    A pair that is in no section turns by the fourth position, which llama.cpp leaves at 0: there must be none.
    """
    return [-(-(pairs - which) // 3) for which in range(3)] + [0]


def query_and_gate(prefix: str, attention: SoftmaxAttention) -> Placement:
    """One tensor, head by head the rows of the query and then those of the gate."""
    assert attention.gate is not None
    heads = Swap(1, 2, attention.n_heads, attention.head_dim)
    return at(prefix + "attn_q.weight", attention.query.weight, attention.gate.weight, rows=heads)


def recurrence(prefix: str, net: GatedDeltaNet) -> list[Placement]:
    """The tensors of a delta net."""
    ratio, keys_end = net.n_value_heads // net.n_heads, 2 * net.n_heads * net.head_dim

    def values(inner: int, start: int = 0) -> dict[str, Any]:
        return {"rows": Swap(1, net.n_heads, ratio, inner, start)} if ratio > 1 else {}

    moved_columns = values(net.head_dim).get("rows")
    mixed = (net.query.weight, net.key.weight, net.value.weight)
    return [
        at(prefix + "attn_qkv.weight", *mixed, **values(net.head_dim, keys_end)),
        linear_at(prefix + "attn_gate.weight", net.gate, **values(net.head_dim)),
        at(prefix + "ssm_conv1d.weight", net.convolution, **values(net.head_dim, keys_end)),
        at(prefix + "ssm_dt.bias", net.decay_bias, **values(1)),
        at(prefix + "ssm_a", net.decay_log, **values(1), function=MINUS_EXP),
        linear_at(prefix + "ssm_beta.weight", net.beta, **values(1)),
        linear_at(prefix + "ssm_alpha.weight", net.decay, **values(1)),
        norm_at(prefix + "ssm_norm.weight", net.norm),
        at(prefix + "ssm_out.weight", net.output.weight, columns=moved_columns),
    ]
