"""A few real steps in a process of their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import NanochatError
from nanochat_framework.planning.measurement import measure
from nanochat_framework.planning.memory import plan_memory


def test_speed_and_memory_of_this_machine(tiny_config: Callable[..., RunConfig]) -> None:
    config = tiny_config(train__gradient_accumulation=2)
    measured = measure(config, 0.1)
    assert measured.steps >= 4
    assert measured.device == "cpu"
    assert measured.threads == 1
    assert measured.tokens_per_second == pytest.approx(2 * 4 * 16 / measured.seconds_per_step)
    assert 50e6 < measured.idle_bytes < measured.peak_bytes
    assert measured.training_bytes > plan_memory(config).row(4).tensors


def test_a_failure_is_told_in_the_childs_words(tiny_config: Callable[..., RunConfig]) -> None:
    config = tiny_config(train__batch_size=2**20, model__max_seq_len=2**20, data__seq_len=2**20)
    with pytest.raises(
        NanochatError, match=r"^measuring failed: out of memory with train.batch_size=1048576 "
    ) as error:
        measure(config, 0)
    assert "\n" not in str(error.value)
