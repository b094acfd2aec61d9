"""Fixtures for the whole suite: the registry with first-party plugins and the probes, and small configurations."""

from __future__ import annotations

import copy
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.kernels.table import activate, active
from nanochat_framework.plugins import Registrar, Registry, load_plugins
from tests.clean_environment import built_wheel
from tests.probes import plugin as probe_plugin

# Machines are shared: a slow example is no defect, and neither is slow drawing of one.
settings.register_profile("nanochat", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nanochat")

# A suite started in the background ignores Ctrl-C, and so would every child that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def kernels_as_before() -> Iterator[None]:
    """Commands activate a kernel table for their process; no test hands its own on to the next."""
    before = active()
    yield
    activate(before)


@pytest.fixture(scope="session")
def registry() -> Registry:
    """First-party components only."""
    return load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry


@pytest.fixture(scope="session")
def probe_registry() -> Registry:
    """First-party components and the probes of `tests/probes`, registered as a stranger's plugin would be."""
    first_party = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry
    registrar = Registrar("probes", "tests.probes", "nanochat-probes", "0")
    probe_plugin.nanochat_register(registrar)
    registry = Registry()
    registry.commit([*first_party.components(), *registrar.components])
    registry.freeze()
    return registry


@pytest.fixture(scope="session")
def repository_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this repository, built once."""
    return built_wheel(REPOSITORY, tmp_path_factory.mktemp("repository_wheel"))


TINY: dict[str, Any] = {
    "model": {
        "name": "decoder",
        "dim": 64,
        "n_layers": 2,
        "vocab_size": 97,
        "max_seq_len": 64,
        "tie_embeddings": True,
        "attention": {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 16},
        "ffn": {"name": "swiglu", "hidden_dim": 96},
        "norm": {"name": "rms"},
        "residual": {"name": "add"},
    },
    "quantizer": [{"match": "matrix", "name": "ternary", "group_size": 32}],
    "optimizer": [
        {"match": "matrix", "name": "muon", "lr": 0.02},
        {"match": "*", "name": "lion", "lr": 0.001},
    ],
    "schedule": {"name": "wsd", "warmup_steps": 2, "stable_fraction": 0.8},
    "data": {"source": {"name": "synthetic"}, "seq_len": 16},
    "train": {"steps": 6, "batch_size": 4, "log_every": 1},
    "eval": {"every": 0},
    "hardware": {"device": "cpu", "threads": 1},
}
"""A complete run in miniature; `tiny_config` changes parts of it."""


def tiny_dict(**changes: Any) -> dict[str, Any]:
    """A copy of `TINY`; a key may be a dotted path written with `__`: `model__ffn={...}`."""
    data = copy.deepcopy(TINY)
    for path, value in changes.items():
        *parents, last = path.split("__")
        table = data
        for part in parents:
            table = table[part]
        table[last] = value
    return data


@pytest.fixture(scope="session")
def tiny_config(probe_registry: Registry) -> Callable[..., RunConfig]:
    """`tiny_config(model__dim=32, quantizer=[])` -> a validated configuration that may name probes."""

    def make(**changes: Any) -> RunConfig:
        return RunConfig.model_validate(tiny_dict(**changes), context={"registry": probe_registry})

    return make
