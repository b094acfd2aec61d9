"""A training of a few steps, made of whatever parts are registered: what callbacks are tried on."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.kernels.table import activate, active
from nanochat_framework.plugins.component import Component
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.testing.subject import Subject
from nanochat_framework.training.setup import prepare
from nanochat_framework.training.world import World

STEPS = 4


def trained(registry: Registry, **tables: Any) -> list[dict[str, Any]]:
    """The events of a training of STEPS steps, evaluations and checkpoints among them; `tables` are added to its configuration.

    Raises SkipTest where no model, optimizer, schedule and source of tokens are registered that need no settings.
    """
    config = RunConfig.model_validate({**_tables(registry), **tables}, context={"registry": registry})
    kernels, threads = active(), torch.get_num_threads()
    with TemporaryDirectory() as folder:
        run = RunDirectory.create(
            Path(folder),
            "contract",
            label="contract",
            sources=[],
            resolved=config.to_dict(),
            components_lock=[],
            overrides=[],
            argv=[],
        )
        try:
            prepared = prepare(config, registry, run, components=[], checkpoint=None, world=World(), quiet=True)
            prepared.trainer.run()
            prepared.close(None)
        finally:
            activate(kernels)
            torch.set_num_threads(threads)
        return list(read(run.events))


def _tables(registry: Registry) -> dict[str, Any]:
    return {
        "model": Subject.of("model", _first(registry, "model").name, registry).selected().to_dict(),
        "optimizer": [{"match": "*", "name": _plain(registry, "optimizer").name}],
        "schedule": {"name": _plain(registry, "schedule").name},
        "data": {"source": {"name": _plain(registry, "source", yields="tokens").name}, "seq_len": 16},
        "train": {"steps": STEPS, "batch_size": 2, "log_every": 1},
        "eval": {"every": 2, "batches": 1},
        "checkpoint": {"every": 2},
        "hardware": {"device": "cpu", "threads": 1},
    }


def _first(registry: Registry, kind: str) -> Component:
    found = registry.components(kind)
    if not found:
        raise SkipTest(f"no {kind} is registered to train with")
    return found[0]


def _plain(registry: Registry, kind: str, **traits: Any) -> Component:
    """The first of a kind that needs no settings."""
    for component in registry.components(kind):
        fields = component.config_class().model_fields.values()
        if traits.items() <= component.traits.items() and not any(info.is_required() for info in fields):
            return component
    raise SkipTest(f"no {kind} is registered that needs no settings")
