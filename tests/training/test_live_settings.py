"""Settings that change while a run trains: what may be set and what is read are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.runs.control import SETTABLE
from nanochat_framework.training.live_settings import LiveSettings


def test_every_key_that_may_be_set_is_one_of_them(tiny_config: Callable[..., RunConfig]) -> None:
    settings = LiveSettings.of(tiny_config(train__log_every=3, checkpoint={"every": 4}, eval={"every": 5}))
    assert asdict(settings) == {"train_log_every": 3, "checkpoint_every": 4, "eval_every": 5, "lr_scale": 1.0}
    for number, key in enumerate(SETTABLE, start=11):
        settings.change(key, number)
    assert sorted(asdict(settings).values()) == [11, 12, 13, 14], "each changes one of its own, and there are no others"
