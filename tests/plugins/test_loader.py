"""The loader with real distributions on disk: five states, no order dependence, one line for each failure."""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable
from importlib.metadata import EntryPoint, PathDistribution, entry_points
from pathlib import Path
from random import Random
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.plugins import PluginHost, Registrar, UnknownComponent, hookimpl, load_plugins

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
        ("x = 1", "incompatible", "states no NANOCHAT_PLUGIN_API"),
        ("NANOCHAT_PLUGIN_API = 1", "failed", "implements no hook; @hookimpl def nanochat_register(registrar)"),
        (GOOD.format(name="a").replace("@hookimpl", ""), "failed", "implements no hook"),
        (
            GOOD.format(name="a").replace("nanochat_register", "nanochat_registr"),
            "failed",
            "nanochat_registr, which is no",
        ),
        (
            GOOD.format(name="a").replace("(registrar)", "(registry)"),
            "failed",
            "{'registry'} are declared in the hookimpl",
        ),
        (GOOD.format(name="a") + "    raise SystemExit(2)", "failed", "SystemExit: 2"),
        (GOOD.format(name="a") + "    raise RuntimeError('in the hook')", "failed", "RuntimeError: in the hook"),
        ("class Odd(BaseException): pass\nraise Odd('odd')", "failed", "Odd: odd"),
        ("def deeper(): deeper()\ndeeper()", "failed", "RecursionError: maximum recursion depth"),
        ("import {module}.circle\nfrom {module}.circle import gone", "failed", "No module named"),
        ("NANOCHAT_PLUGIN_API = 2", "incompatible", "written for plugin API 2, this is 1"),
        (GOOD.format(name="Bad Name"), "failed", "must be lower_case letters"),
        (GOOD.format(name="a").replace(".config:C", "nonsense"), "failed", "must read 'module:object'"),
        (GOOD.format(name="a").replace("registrar.optimizer", "registrar.optimiser"), "failed", "AttributeError"),
        (GOOD.format(name="muon"), "failed", "a built-in cannot be replaced, use a vendor/name"),
    ],
)
def test_a_broken_plugin_is_one_line(install: Install, source: str, state: str, reason: str) -> None:
    name = f"broken_{zlib.crc32(source.encode())}"
    host = load(install("broken", "broken", name, source.replace("{module}", name)))
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


def test_plugins_that_import_each_other(install: Install) -> None:
    source = "import {other}\n" + GOOD
    one = install("one", "one", "cycle_one", source.format(other="cycle_two", name="one/x"))
    two = install("two", "two", "cycle_two", source.format(other="cycle_one", name="two/x"))
    assert states(load(one, two)) == {"one": ("ok", ""), "two": ("ok", "")}


def test_a_plugin_that_loads_plugins(install: Install) -> None:
    source = "from nanochat_framework.plugins import load_plugins\nload_plugins()\n" + GOOD.format(name="re/entrant")
    assert states(load(install("re", "re", "re_entrant", source))) == {"re": ("ok", "")}


def test_printing_goes_to_stderr(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    load(install("loud", "loud", "loud_plugin", "print('hello')" + GOOD.format(name="loud/x") + "    print('again')"))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\nagain\n")


def test_a_module_inside_a_package_refers_to_its_package(install: Install, tmp_path: Path) -> None:
    install("nested", "nested", "nested_package", "")
    (tmp_path / "nested_package" / "plugin.py").write_text(GOOD.format(name="nested/x"))
    (tmp_path / "nested_package" / "both.py").write_text(
        "from nanochat_framework.plugins import hookimpl\n"
        "class Both:\n"
        "    class Plugin:\n"
        "        NANOCHAT_PLUGIN_API = 1\n"
        "        @hookimpl\n"
        "        def nanochat_register(self, registrar):\n"
        "            registrar.optimizer('nested/y', config='.config:C', factory='.impl:F', summary='s')\n"
        "    plugin = Plugin()\n"
    )
    points = [
        EntryPoint("nested", "nested_package.plugin", "nanochat"),
        EntryPoint("objects", "nested_package.both:Both.plugin [extra]", "nanochat"),
        EntryPoint("nonsense", ":", "nanochat"),
    ]
    host = load(*points)
    assert host.registry.get("optimizer", "nested/x").config == "nested_package.config:C"
    assert host.registry.get("optimizer", "nested/y").config == "nested_package.config:C"
    assert states(host)["nonsense"] == ("failed", "ValueError: Empty module name")


def test_the_same_module_under_two_names(install: Install) -> None:
    first = install("twice", "first", "twice_plugin", GOOD.format(name="twice/x"))
    host = load(first, EntryPoint("second", "twice_plugin", "nanochat"))
    assert states(host)["first"] == ("ok", "")
    assert states(host)["second"][0] == "failed"


def test_a_clash_with_a_built_in_frees_the_name_for_another(install: Install) -> None:
    greedy = GOOD.format(name="muon") + '    registrar.optimizer("x/y", config=".c:C", factory=".f:F", summary="s")\n'
    points = [
        install("greedy", "greedy", "greedy_plugin", greedy),
        install("modest", "modest", "modest_plugin", GOOD.format(name="x/y")),
    ]
    for order in itertools.permutations(points):
        host = load(*order)
        assert states(host)["greedy"][0] == "failed"
        assert host.registry.get("optimizer", "x/y").plugin == "modest"


def test_two_of_our_own_that_clash_are_no_crash(install: Install) -> None:
    ours = list(entry_points(group="nanochat"))
    point = install("nanochat-framework", "impostor", "impostor_plugin", GOOD.format(name="muon"))
    host = load_plugins([point, *ours], environ={})
    states_of = {p.name: p.state for p in host.plugins}
    assert (states_of["impostor"], states_of["optimizers"]) == ("ok", "failed"), (
        "by name: which of the two is not known"
    )
    assert host.registry.get("optimizer", "muon").plugin == "impostor"
    assert "is registered by both" in host.warnings()[0]


def test_a_distribution_can_be_named_to_choose_between_two(install: Install) -> None:
    first = install("aaa", "same", "choose_a", GOOD.format(name="aaa/x"))
    second = install("bbb", "same", "choose_b", GOOD.format(name="bbb/x"))
    host = load(first, second, NANOCHAT_DISABLE_PLUGINS="aaa")
    assert {p.distribution: p.state for p in host.plugins if not p.first_party} == {"aaa": "disabled", "bbb": "ok"}
    host = load(first, second, NANOCHAT_LOAD_PLUGINS="bbb")
    assert {p.distribution: p.state for p in host.plugins if not p.first_party} == {"aaa": "disabled", "bbb": "ok"}


@settings(max_examples=60, deadline=None)
@given(
    claims=st.lists(st.sets(st.sampled_from(["a", "b", "c/d", "muon", "Bad"]), min_size=1), min_size=2, max_size=5),
    random=st.randoms(use_true_random=False),
)
def test_any_order_gives_the_same_outcome(claims: list[set[str]], random: Random) -> None:
    points = []
    for number, names in enumerate(claims):
        module = ModuleType(f"stranger_{number}")

        def nanochat_register(registrar: Registrar, names: set[str] = names) -> None:
            for name in sorted(names):
                registrar.optimizer(name, config=".c:C", factory=".f:F", summary="s")

        module.__dict__.update(NANOCHAT_PLUGIN_API=1, nanochat_register=hookimpl(nanochat_register))
        sys.modules[module.__name__] = module
        points.append(EntryPoint(f"plugin_{number}", module.__name__, "nanochat"))
    outcomes = []
    for _ in range(2):
        host = load(*points)
        names_left = {c.name: c.plugin for c in host.registry.components("optimizer")}
        outcomes.append((states(host), names_left))
        random.shuffle(points)
    assert outcomes[0] == outcomes[1]
    for number, names in enumerate(claims):
        claimed = [name for other in claims for name in other if not {"muon", "Bad"} & other]
        fine = not {"muon", "Bad"} & names and all(claimed.count(name) == 1 for name in names)
        assert (outcomes[0][0][f"plugin_{number}"][0] == "ok") == fine


SEARCH = """
import sys
from nanochat_framework.plugins import load_plugins
for plugin in load_plugins().plugins:
    if not plugin.first_party:
        print(plugin.name, plugin.distribution, plugin.version, plugin.state)
"""


def test_distributions_are_found_on_the_path_and_broken_ones_passed_over(install: Install, tmp_path: Path) -> None:
    install("acme-optim", "acme", "acme_found", GOOD.format(name="acme/sgd"))
    headless = tmp_path / "headless-1.0.dist-info"
    headless.mkdir()
    (headless / "entry_points.txt").write_text("[nanochat]\nheadless = no_such_module\n")
    for garbage in (None, b"[nanochat]\nno equals sign", b"\xff\xfe[nanochat]"):
        if garbage is not None:
            (tmp_path / "garbage-1.0.dist-info").mkdir(exist_ok=True)
            (tmp_path / "garbage-1.0.dist-info" / "entry_points.txt").write_bytes(garbage)
        path = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        done = subprocess.run([sys.executable, "-c", path + SEARCH], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == ["acme acme-optim 0.3 ok", "headless unknown 0 failed"], done.stderr


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
