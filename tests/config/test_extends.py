"""`extends`: what a file above another changes, whose fault a mistake is, and the laws of laying files over each other."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.cli import main
from nanochat_framework.config.layers import merged, read_layers
from nanochat_framework.config.load import load_config
from nanochat_framework.config.merge import copied, merge, subpaths
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import ConfigError, UsageError
from nanochat_framework.plugins import load_plugins
from tests.conftest import tiny_dict

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry


def load(path: Path, *overrides: str) -> RunConfig:
    return load_config(path, registry=REGISTRY, overrides=overrides).config


def refused(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(path, *overrides)
    return str(error.value).splitlines()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.toml"
    path.write_text(tomli_w.dumps(tiny_dict()))
    return path


def child(base: Path, text: str, name: str = "child.toml", below: str = "base.toml") -> Path:
    path = base.parent / name
    path.write_text(f'extends = "{below}"\n{text}')
    return path


def test_tables_merge_scalars_and_arrays_replace(base: Path) -> None:
    path = child(
        base, '[train]\nsteps = 9\n[[optimizer]]\nmatch = "*"\nname = "adamw"\n[model.attention]\nhead_dim = 8\n'
    )
    config, below = load(path), load(base)
    assert (config.train.steps, config.train.batch_size) == (9, below.train.batch_size)
    assert [rule.component.name for rule in config.optimizer] == ["adamw"]
    assert config.model.config.attention.config.head_dim == 8
    assert config.model.config.attention.config.n_heads == below.model.config.attention.config.n_heads
    assert config.schedule == below.schedule


def test_another_component_drops_the_keys_of_the_one_before(base: Path) -> None:
    cosine = load(child(base, '[schedule]\nname = "cosine"\n')).schedule
    assert (cosine.name, cosine.config.warmup_steps) == ("cosine", 0), "the base's 2 steps were meant for wsd"
    same = load(child(base, '[schedule]\nname = "wsd"\nmin_lr_ratio = 0.5\n')).schedule.config
    assert (same.warmup_steps, same.min_lr_ratio) == (2, 0.5)
    bare = load(child(base, 'schedule = "cosine"\n')).schedule
    assert (bare.name, bare.config.warmup_steps) == ("cosine", 0)
    assert load(child(base, 'schedule = "wsd"\n')).schedule.config.warmup_steps == 2, "a bare name is a table with it"


def test_a_source_takes_the_place_of_several_and_the_other_way_round(base: Path) -> None:
    several = child(base, '[data]\nsources = [{ name = "synthetic", weight = 2 }, { name = "synthetic" }]\n')
    assert [source.weight for source in load(several).data.all_sources] == [2, 1]
    single = child(base, '[data]\nsource = { name = "synthetic", seed = 5 }\n', "third.toml", "child.toml")
    assert load(single).data.sources == ()
    assert load(several, "data.source.name=synthetic").data.sources == ()
    both = child(base, '[data]\nsource = "synthetic"\nsources = [{ name = "synthetic" }]\n', "both.toml")
    assert any("one of the two" in line for line in refused(both))


def test_a_name_that_is_missing_is_missing_where_the_table_is(base: Path) -> None:
    path = child(base, '[[optimizer]]\nmatch = "*"\nlr = 0.1\n')
    (line,) = refused(path)
    assert line.startswith(f"{path}:2: optimizer.0: a name is missing"), "the base's table of this number is replaced"


def test_presets_can_be_extended_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = child(tmp_path / "x", "[train]\nsteps = 7\n", below="tiny-cpu")
    monkeypatch.chdir("/")
    assert load(path).train.steps == 7
    assert load(path).model == load_config("tiny-cpu", registry=REGISTRY).config.model
    assert [layer.preset for layer in read_layers(path)] == ["tiny-cpu", None]


def test_a_chain_is_relative_to_each_file(base: Path) -> None:
    folder = base.parent / "deep"
    folder.mkdir()
    middle = child(folder / "x", "[train]\nsteps = 8\nseed = 8\n", "middle.toml", "../base.toml")
    top = child(base, "[train]\nsteps = 9\n", "top.toml", "deep/middle.toml")
    assert (load(top).train.steps, load(top).train.seed) == (9, 8)
    assert [layer.path.name for layer in read_layers(top)] == ["base.toml", middle.name, "top.toml"]


def test_mistakes_are_where_they_were_written(base: Path) -> None:
    base.write_text(base.read_text().replace("steps = 6", "steps = -6").replace('match = "matrix"', 'mtch = "x"', 1))
    path = child(base, '\n[eval]\nevry = 1\n[schedule]\nname = "wsd"\nwarmup_step = 3\n[model]\nname = "decoder"\n')
    lines = refused(path)
    expected = {
        "eval.evry": (path, "evry"),
        "schedule.warmup_step": (path, "warmup_step"),
        "train.steps": (base, "steps"),
        "quantizer.0.mtch": (base, "quantizer"),
    }
    for key, (file, word) in expected.items():
        number = next(n for n, line in enumerate(file.read_text().split("\n"), 1) if line.startswith(word))
        assert any(line.startswith(f"{file}:{number}: {key}: ") for line in lines), (key, lines)


def test_what_a_newly_named_component_lacks_is_the_fault_of_who_named_it(base: Path) -> None:
    path = child(base, '[eval]\nevery = 0\n[model]\nffn = { name = "moe" }\n')
    missing = f"{path}:5: model.ffn.n_experts: is missing"
    assert any(line.startswith(missing) for line in refused(path))
    above = child(base, "[model.ffn]\nhidden_dim = 5\n", "above.toml", "child.toml")
    assert [line.partition(", ")[0] for line in refused(above)] == [missing]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('"bse.toml"', r"bse.toml: no such file, and no preset of that name"),
        ('"tiny-cup"', "did you mean 'tiny-cpu'"),
        ('"."', "is a folder"),
        ("3", "expected the path of a TOML file or the name of a preset"),
        ('["a.toml"]', "expected the path of a TOML file"),
        ('""', "expected the path of a TOML file"),
        ('"a\\u0000b"', "not a usable path"),
        ('"child.toml"', "in a circle: .*child.toml -> .*child.toml"),
    ],
)
def test_what_cannot_be_extended(base: Path, value: str, message: str) -> None:
    path = base.parent / "child.toml"
    path.write_text(f"# a comment\nextends = {value}\n")
    with pytest.raises(ConfigError, match=message) as error:
        load(path)
    assert str(error.value).startswith(f"{path}:2: extends: ")
    assert len(str(error.value).splitlines()) == 1


def test_a_circle_is_refused_where_it_closes(base: Path) -> None:
    one, two = base.parent / "one.toml", base.parent / "two.toml"
    one.write_text('extends = "two.toml"\n')
    two.write_text('x = 1\nextends = "./one.toml"\n')
    with pytest.raises(
        ConfigError, match=rf"^{two}:2: extends: the files extend each other in a circle: {one} -> {two} -> "
    ):
        load(one)


def test_a_base_that_cannot_be_read_is_named(base: Path) -> None:
    path = child(base, "")
    base.write_bytes(b"a = 1\nb = \xff")
    assert refused(path) == [f"{base}:2: not UTF-8 text"]
    base.write_bytes(b"a =")
    assert refused(path)[0].startswith(f"{base}:1: not TOML")


def test_set_comes_last_and_cannot_extend(base: Path) -> None:
    path = child(base, "[train]\nsteps = 9\n")
    assert load(path, "train.steps=11").train.steps == 11
    assert any("belongs at the top of a file" in line for line in refused(path, "extends=base.toml"))
    with pytest.raises(UsageError):
        load(base.parent / "nowhere.toml")


def test_a_run_holds_all_it_was_made_from_and_resumes_without_it(base: Path) -> None:
    path = child(base, "[train]\nsteps = 3\n[checkpoint]\nevery = 2\n")
    sources = [path.read_bytes(), base.read_bytes()]
    runs = base.parent / "runs"
    assert main(["train", str(path), "--run", "r", "--runs-dir", str(runs), "--quiet"]) == 0
    path.unlink()
    base.unlink()
    copies = [(runs / "r" / name).read_bytes() for name in ("config.source.toml", "config.source.1.toml")]
    assert copies == sources
    assert json.loads((runs / "r" / "run.json").read_text())["config_sources"] == [str(path), str(base)]
    assert main(["resume", "r", "--from", "step_00000002", "--runs-dir", str(runs), "--quiet"]) == 0


# Laws. A key is a table in all documents or in none, as in any two configurations; names come in the second group.
LEAVES = st.one_of(st.integers(0, 3), st.lists(st.integers(0, 2), max_size=2))
PLAIN = st.recursive(
    st.fixed_dictionaries({}, optional=dict.fromkeys("xyz", LEAVES)),
    lambda inner: st.fixed_dictionaries({}, optional={**dict.fromkeys("abc", inner), "x": LEAVES}),
    max_leaves=6,
)
NAMED = st.fixed_dictionaries(
    {},
    optional={
        "schedule": st.one_of(
            st.sampled_from(["wsd", "cosine"]),
            st.fixed_dictionaries({}, optional={"name": st.sampled_from(["wsd", "cosine"]), "p": LEAVES, "q": LEAVES}),
        ),
        "train": st.fixed_dictionaries({}, optional={"seed": LEAVES, "x": LEAVES}),
    },
)


def at(data: Any, path: tuple[str | int, ...]) -> Any:
    return reduce(lambda node, part: node[part], path, data)


@given(PLAIN, PLAIN, PLAIN)
def test_laying_over_is_associative(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(st.one_of(PLAIN, NAMED), st.data())
def test_nothing_over_something_and_something_over_nothing(a: dict[str, Any], data: st.DataObject) -> None:
    assert merge(a, {}) == a == merge({}, a)
    assert merge(a, a) == a


@given(PLAIN, PLAIN)
def test_the_file_above_wins_and_the_rest_stays(below: dict[str, Any], above: dict[str, Any]) -> None:
    before = copied(below), copied(above)
    both = merge(below, above)
    assert (below, above) == before, "neither is changed"
    for path in subpaths(above):
        if not isinstance(at(above, path), dict):
            assert at(both, path) == at(above, path)
    known = set(subpaths(above))
    for path in subpaths(below):
        if not any(
            path[:length] in known and not isinstance(at(above, path[:length]), dict) for length in range(len(path) + 1)
        ):
            assert path in set(subpaths(both))
    assert {path for path in subpaths(both) if isinstance(at(both, path), dict)} <= {*subpaths(below), *known}


@given(NAMED, NAMED, NAMED)
def test_a_chain_is_the_same_as_its_lower_part_written_as_one_file(
    tmp_path_factory: pytest.TempPathFactory, a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for name, below, data in (("a", "", a), ("b", "a", b), ("c", "b", c), ("ab", "", merge(a, b)), ("c2", "ab", c)):
        text = f'extends = "{below}.toml"\n' if below else ""
        (folder / f"{name}.toml").write_text(text + tomli_w.dumps(data))
    assert merged(read_layers(folder / "c.toml")) == merged(read_layers(folder / "c2.toml"))
