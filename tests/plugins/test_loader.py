"""The loader with real distributions on disk: five states, no order dependence, one line for each failure."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable
from importlib.metadata import EntryPoint, PathDistribution, entry_points
from pathlib import Path

import pytest

from nanochat_framework.plugins import PluginHost, UnknownComponent, load_plugins

GOOD = """
from nanochat_framework.plugins import hookimpl
NANOCHAT_PLUGIN_API = 1
@hookimpl
def nanochat_register(registrar):
    registrar.optimizer("{name}", config=".config:C", factory=".impl:F", summary="s")
"""

Install = Callable[..., EntryPoint]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install("dist", "plugin", module, source)` puts a distribution on disk; returns its entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(distribution: str, plugin: str, module: str, source: str) -> EntryPoint:
        package = tmp_path / module
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{distribution.replace('-', '_')}-0.3.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.3\n")
        (info / "entry_points.txt").write_text(f"[nanochat]\n{plugin} = {module}\n")
        (point,) = PathDistribution(info).entry_points
        return point

    return make


def load(*points: EntryPoint, **environ: str) -> PluginHost:
    ours = [point for point in entry_points(group="nanochat") if point.dist and point.dist.name == "nanochat-framework"]
    return load_plugins([*ours, *points], environ=environ)


def states(host: PluginHost) -> dict[str, tuple[str, str]]:
    return {p.name: (p.state, p.reason) for p in host.plugins if not p.first_party}


def test_a_stranger_is_an_equal(install: Install) -> None:
    host = load(install("acme-optim", "acme", "acme_ok", GOOD.format(name="acme/sgd")))
    assert states(host) == {"acme": ("ok", "")}
    component = host.registry.get("optimizer", "acme/sgd")
    assert (component.config, component.factory) == ("acme_ok.config:C", "acme_ok.impl:F")
    assert (component.distribution, component.version, component.plugin) == ("acme-optim", "0.3", "acme")
    assert "muon" in host.registry.names("optimizer")


@pytest.mark.parametrize(
    ("source", "state", "reason"),
    [
        ("import no_such_package_at_all", "failed", "ModuleNotFoundError: No module named 'no_such_package_at_all'"),
        ("raise SystemExit(3)", "failed", "SystemExit: 3"),
        ("raise ValueError('first line\\nsecond line')", "failed", "ValueError: first line"),
        ("def broken(:", "failed", "SyntaxError"),
        ("x = 1", "incompatible", "written for plugin API None, this is 1"),
        ("NANOCHAT_PLUGIN_API = 2", "incompatible", "written for plugin API 2, this is 1"),
        (GOOD.format(name="Bad Name"), "failed", "must be lower_case letters"),
        (GOOD.format(name="a").replace(".config:C", "nonsense"), "failed", "must read 'module:object'"),
        (GOOD.format(name="a").replace("registrar.optimizer", "registrar.optimiser"), "failed", "AttributeError"),
        (GOOD.format(name="muon"), "failed", "a built-in cannot be replaced, use a vendor/name"),
    ],
)
def test_a_broken_plugin_is_one_line(install: Install, source: str, state: str, reason: str) -> None:
    name = f"broken_{abs(hash(source))}"
    host = load(install("broken", "broken", name, source))
    found = states(host)["broken"]
    assert found[0] == state
    assert reason in found[1]
    (warning,) = host.warnings()
    assert "\n" not in warning
    assert host.registry.get("optimizer", "muon").distribution == "nanochat-framework"
    with pytest.raises(UnknownComponent, match="broken is"):
        host.registry.get("optimizer", "acme/sgd")


def test_nothing_of_a_failed_plugin_is_registered(install: Install) -> None:
    source = (
        GOOD.format(name="acme/one") + '    registrar.optimizer("muon", config=".c:C", factory=".f:F", summary="s")\n'
    )
    host = load(install("half", "half", "half_plugin", source))
    assert states(host)["half"][0] == "failed"
    assert "acme/one" not in host.registry.names("optimizer")


def test_two_strangers_and_one_name(install: Install) -> None:
    points = [
        install("first", "one", "stranger_one", GOOD.format(name="shared/x")),
        install("second", "two", "stranger_two", GOOD.format(name="shared/x")),
        install("third", "three", "stranger_three", GOOD.format(name="third/y")),
    ]
    outcomes = set()
    for order in itertools.permutations(points):
        host = load(*order)
        assert host.registry.names("optimizer").count("third/y") == 1
        with pytest.raises(UnknownComponent, match="claimed by one .* and two .*|claimed by two .* and one .*"):
            host.registry.get("optimizer", "shared/x")
        outcomes.add(tuple(sorted(states(host).items())))
    assert len(outcomes) == 1, "the outcome depends on the order"
    ((_, one), _, (_, two)) = next(iter(outcomes))
    assert (one[0], two[0]) == ("failed", "failed")
    assert "second" in one[1]
    assert "first" in two[1]


def test_a_duplicate_entry_point_name_is_shadowed(install: Install) -> None:
    first = install("aaa", "same", "same_a", GOOD.format(name="aaa/x"))
    second = install("bbb", "same", "same_b", GOOD.format(name="bbb/x"))
    host = load(second, first)
    by_distribution = {p.distribution: (p.state, p.reason) for p in host.plugins if not p.first_party}
    assert by_distribution == {"aaa": ("ok", ""), "bbb": ("shadowed", "its name is already taken by aaa 0.3")}


def test_disabled_plugins_are_not_imported(install: Install) -> None:
    point = install("acme", "acme", "never_imported", "raise RuntimeError('imported')")
    assert states(load(point, NANOCHAT_DISABLE_PLUGINS="acme, other"))["acme"][0] == "disabled"
    assert states(load(point, NANOCHAT_LOAD_PLUGINS=""))["acme"][0] == "disabled"
    assert states(load(point, NANOCHAT_LOAD_PLUGINS="acme"))["acme"][0] == "failed"
    host = load(NANOCHAT_DISABLE_PLUGINS="optimizers")
    with pytest.raises(UnknownComponent, match="optimizers is disabled"):
        host.registry.get("optimizer", "muon")


def test_every_first_party_reference_resolves() -> None:
    host = load()
    assert not host.warnings()
    for component in host.registry.components():
        config = component.config_class()
        assert callable(component.load_factory())
        undocumented = [name for name, field in config.model_fields.items() if not field.description]
        assert not undocumented, f"{component.kind} {component.name}: {undocumented}"


def test_the_registry_is_frozen() -> None:
    registry = load().registry
    with pytest.raises(AssertionError, match="frozen"):
        registry.commit([])
