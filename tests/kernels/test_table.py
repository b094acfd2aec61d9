"""Which kernel runs: priority, capabilities, and the way back to the naive forms."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.kernels import table
from nanochat_framework.kernels.naive import rms_norm
from nanochat_framework.kernels.table import NAIVE, KernelTable, missing_capabilities
from nanochat_framework.machine.cpu import cpu_flags
from nanochat_framework.model.build import build_model
from nanochat_framework.plugins import Registrar, Registry

slow, fast = object(), object()


def build_slow(config: Any) -> object:
    return slow


def build_fast(config: Any) -> object:
    return fast


def registry_of(*kernels: tuple[str, int, tuple[str, ...]]) -> Registry:
    """A registry with kernels of rms_norm: name, priority, required capabilities."""
    registrar = Registrar("test", "tests.kernels", "tests", "0")
    for name, priority, requires in kernels:
        factory = f".test_table:build_{name}"
        registrar.kernel("rms_norm", name, factory=factory, summary="", priority=priority, requires=requires)
    registry = Registry()
    registry.commit(registrar.components)
    return registry


def test_the_highest_priority_wins() -> None:
    for priorities, expected in (((1, 2), "fast"), ((2, 1), "slow")):
        chosen = KernelTable(registry_of(("slow", priorities[0], ()), ("fast", priorities[1], ()))).choose("rms_norm")
        assert chosen.implementation == expected
        assert chosen.call is {"fast": fast, "slow": slow}[expected]


def test_a_kernel_whose_needs_are_not_met_is_passed_over() -> None:
    registry = registry_of(("slow", 1, ()), ("fast", 2, ("device:cuda",)))
    kernels = KernelTable(registry)
    assert kernels.choose("rms_norm", "cpu").implementation == "slow"
    assert kernels.choose("rms_norm", "cuda").implementation == "fast"


def test_without_kernels_everything_is_naive() -> None:
    for kernels in (KernelTable(), KernelTable(registry_of(("fast", 1, ("device:cuda",))))):
        choice = kernels.choose("rms_norm")
        assert (choice.implementation, choice.call) == ("naive", rms_norm)
    with pytest.raises(KeyError):
        KernelTable().choose("no_such_operation")


def test_the_environment_keeps_everything_naive(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    monkeypatch.setenv("NANOCHAT_KERNELS", "naive")
    kernels = KernelTable(registry)
    for operation, naive in NAIVE.items():
        assert kernels.choose(operation).call is naive
    monkeypatch.delenv("NANOCHAT_KERNELS")
    assert KernelTable(registry).choose("rms_norm").implementation == "blocked"


@pytest.mark.parametrize(
    ("requires", "device", "missing"),
    [
        (("package:json", "package:torch"), "cpu", []),
        (("package:no_such_package_anywhere",), "cpu", ["package:no_such_package_anywhere"]),
        (("device:cuda", "package:json"), "cpu", ["device:cuda"]),
        (("device:cuda",), "cuda", []),
        (("torch>=2.4", "torch>=2.0.1"), "cpu", []),
        (("torch>=99.0",), "cpu", ["torch>=99.0"]),
        (("sse2", "avx9000"), "cpu", ["avx9000"]),
    ],
)
def test_capabilities(
    requires: tuple[str, ...], device: str, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "cpu_flags", lambda: frozenset({"sse2"}))
    (kernel,) = registry_of(("fast", 1, requires)).components("kernel")
    assert missing_capabilities(kernel, device) == missing


@pytest.mark.parametrize(
    ("version", "needed", "met"),
    [("2.13.0+cpu", "2.4", True), ("2.4.1", "2.4", True), ("2.3.1", "2.4", False), ("3.0.0a0", "2.4", True)],
)
def test_torch_versions_compare_as_numbers(
    version: str, needed: str, met: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.__version__", version)
    (kernel,) = registry_of(("fast", 1, (f"torch>={needed}",))).components("kernel")
    assert (missing_capabilities(kernel, "cpu") == []) == met


def test_instruction_sets_are_read_from_the_system(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(cpu_flags.cache_clear)
    texts: dict[Callable[..., str], frozenset[str]] = {
        lambda path: "model name\t: X\nflags\t\t: fpu sse2 avx512_vnni\nflags\t\t: fpu\n": frozenset(
            {"fpu", "sse2", "avx512_vnni"}
        ),
        lambda path: "Features\t: neon\n": frozenset(),
    }
    for read, expected in texts.items():
        cpu_flags.cache_clear()
        monkeypatch.setattr("pathlib.Path.read_text", read)
        assert cpu_flags() == expected

    def fail(path: object) -> str:
        raise FileNotFoundError

    cpu_flags.cache_clear()
    monkeypatch.setattr("pathlib.Path.read_text", fail)
    assert cpu_flags() == frozenset()


def test_a_copied_model_refers_to_the_same_table(tiny_config: Callable[..., RunConfig], registry: Registry) -> None:
    before = table.active()
    table.activate(KernelTable(registry))
    try:
        model, expected = build_model(tiny_config().model), table.active()
    finally:
        table.activate(before)
    tables = [module.kernels for module in deepcopy(model).modules() if hasattr(module, "kernels")]
    assert tables and all(each is expected for each in tables)
