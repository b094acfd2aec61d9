"""Configuration files: every mistake at once, with file, line and what was meant; and nothing but that."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_framework.config.dump import dump_toml
from nanochat_framework.config.load import components_lock, load_config
from nanochat_framework.config.presets import preset_names, presets_dir
from nanochat_framework.errors import ConfigError, NanochatError, UsageError
from nanochat_framework.plugins import Registry, load_plugins

REGISTRY = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry
TINY = (presets_dir() / "tiny_cpu.toml").read_text()


def problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """The lines that loading a text gives."""
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path, registry=REGISTRY, overrides=overrides)
    assert error.value.exit_code == 2
    return [line.removeprefix(f"{path}:") for line in str(error.value).splitlines()]


def line_number(text: str, start: str) -> int:
    return next(number for number, line in enumerate(text.split("\n"), 1) if line.startswith(start))


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_survives_toml(name: str, tmp_path: Path) -> None:
    config = load_config(name, registry=REGISTRY).config
    path = tmp_path / "again.toml"
    path.write_text(dump_toml(config))
    assert load_config(path, registry=REGISTRY).config.to_dict() == config.to_dict()
    assert load_config(name.replace("-", "_"), registry=REGISTRY).config == config


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    text = TINY.replace("momentum =", "momentm =").replace("[schedule]", "[schedul]")
    text = text.replace("n_layers = 4", 'n_layers = "many"').replace("n_kv_heads = 4", "n_kv_heads = 3")
    found = problems(tmp_path, text)
    expected = {
        "optimizer.0.momentm: unknown key for optimizer muon; did you mean 'momentum'?": "momentm",
        'model.n_layers: expected an integer (got "many")': "n_layers",
        "schedul: unknown section; did you mean 'schedule'?": "[schedul]",
        "model.attention: n_kv_heads 3 must divide n_heads 4": "attention",
    }
    for message, start in expected.items():
        assert f"{line_number(text, start)}: {message}" in found
    assert any("schedule: the section [schedule] is missing" in line for line in found)
    assert len(found) == len(expected) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[train]", "[train]\nlr = 0.1"), "'lr' belongs under [[optimizer]]"),
        (('name = "muon"', 'name = "moun"'), "unknown optimizer 'moun'; did you mean 'muon'?"),
        (("[train]", "[tokenizer]\nx = 1\n[train]"), "reserved for tokenizer settings"),
        (('precision = "', 'precision = "x'), "expected 'fp32', 'bf16' or 'fp16'"),
        (("\nseq_len = 256", "\nseq_len = 512"), "512 is more than model.max_seq_len 256"),
        (("group_size = 256", "group_size = 100"), "multiple of 32"),
        (('name = "wsd"', 'nam = "wsd"'), "a name is missing; choose one of"),
        (("[data]", "[data"), "not TOML"),
        (('match = "matrix"', ""), "match: is missing, and quantizer ternary needs it: Shell pattern"),
        (("n_heads = 4, ", ""), "model.attention.n_heads: is missing, and attention gqa needs it: Query heads."),
        (("dim = 256", 'dim = "256"'), '"256"'),
        (("[train]", "lr = 1\n[train]"), "unknown key for [data]; 'lr' belongs under [[optimizer]]"),
        (("[model]", "lr = 1\n[model]"), "unknown key; 'lr' belongs under [[optimizer]]"),
        (("[train]", '[train]\nextends = "x"'), "'extends' belongs at the top of a file, before any [table]"),
        (("betas = [0.9, 0.99]", "betas = [0.9]"), "optimizer.1.betas.1: is missing: the array is too short"),
        (("betas = [0.9, 0.99]", "betas = [0.9, 1.5]"), "optimizer.1.betas.1: must be less than 1 (got 1.5)"),
        (("seed = 0", "seed = 1979-05-27"), "expected an integer (got the date or time 1979-05-27)"),
        (
            ('name = "lion"\nlr', 'name = "galore"\nlr'),
            'optimizer.1.match: galore takes matrices, and blocks.0.attention_norm.weight (role "norm", shape (256,)) is none',
        ),
        (("lr = 0.02", "lr = 1e300"), "optimizer.0.lr: must be at most 1e+30 (got 1e+300)"),
        (("seed = 0", f"seed = {2**64}"), "train.seed: must be less than"),
        (('match = "*"', 'match = "norm"'), 'takes the 1 parameters of role "embedding" (embedding.weight, ...)'),
        (('source = { name = "tokens", path = "data/tokens.bin" }', "source = 3"), "expected a table with a name"),
        (('name = "lion"', "name = 3"), "the name must be a string; choose one of: adamw, "),
        (("[train]", '[train]\nschedule = "wsd"'), 'is a section of its own, written [schedule] name = "wsd"'),
    ],
)
def test_messages(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = TINY.replace("[eval]", "seed = 0\n[eval]")
    assert change[0] in text
    found = problems(tmp_path, text.replace(*change, 1))
    assert any(message in line for line in found), found


def test_a_table_reports_its_own_keys_and_the_components_together(tmp_path: Path) -> None:
    found = problems(tmp_path, TINY.replace('match = "matrix"\nname = "muon"', 'name = "muon"\nmomentun = 1'))
    assert len(found) == 2, found
    assert "optimizer.0.match: is missing" in found[0]
    assert "did you mean 'momentum'" in found[1]


def test_one_table_where_several_are_meant(tmp_path: Path) -> None:
    text = TINY.replace("[[quantizer]]", "[quantizer]")
    assert any("quantizer: expected tables written [[quantizer]] (got a table)" in x for x in problems(tmp_path, text))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('token_filter="collider"', 'token_filter: expected a table, as in { name = "collider" }'),
        ("token_filter=3", 'token_filter: expected a table, as in { name = "..." }'),
        (
            'train.token_filter="collider"',
            "'token_filter' is a section of its own, written [token_filter] name = \"collider\"",
        ),
        ('quantizer=["int8"]', 'quantizer.0: expected a table, as in { match = "...", name = "int8" }'),
        ('optimizer=["lion"]', 'optimizer.0: expected a table, as in { match = "...", name = "lion" }'),
        ('optimizer="lion"', 'optimizer: expected tables written [[optimizer]] (got "lion")'),
        ('data.sources=["text"]', 'data.sources.0: expected a table, as in { name = "text" }'),
    ],
)
def test_a_name_where_a_table_is_meant(tmp_path: Path, setting: str, message: str) -> None:
    (found,) = problems(tmp_path, TINY, setting)
    assert message in found


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.batch_size=9223372036854775808", "train.batch_size: must be at most 1048576 (got 9223372036854775808)"),
        ("train.gradient_accumulation=1048577", "train.gradient_accumulation: must be at most 1048576 (got 1048577)"),
        ("data.phase=[{until=0.5,batch_size=1048577}]", "data.phase.0.batch_size: must be at most 1048576"),
        (
            "data.phase=[{until=0.5,gradient_accumulation=1048577}]",
            "data.phase.0.gradient_accumulation: must be at most 1048576",
        ),
        ("hardware.threads=99999999999999999999", "hardware.threads: must be at most 4096"),
        ("train.steps=1000000001", "train.steps: must be at most 1000000000 (got 1000000001)"),
    ],
)
def test_numbers_beyond_all_use(tmp_path: Path, setting: str, message: str) -> None:
    (found,) = problems(tmp_path, TINY, setting)
    assert message in found


def test_a_wrong_member_is_the_only_complaint_about_an_array(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, TINY, 'optimizer=[{match="*", name="lion", lr=-1}]')
    assert "lr: must be at least 0 (got -1)" in found


def test_problems_are_sorted_by_line(tmp_path: Path) -> None:
    text = TINY.replace("dim = 256", "dim = true", 1).replace("[checkpoint]", "[checkpoint]\nx = 1")
    numbers = [int(line.partition(":")[0]) for line in problems(tmp_path, text)]
    assert numbers == sorted(numbers)
    assert min(numbers) < 100 <= max([*numbers, 100])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for number, (content, message) in enumerate(
        [
            (b"a = 1\nb = \xff", ":2: not UTF-8 text"),
            (b"a = 1\nb = ", ":2: not TOML"),
            (b"a = " + b"9" * 5000, "not TOML"),
            (b"a = " + b"[" * 5000, "nested too deeply"),
        ]
    ):
        path = tmp_path / f"{number}.toml"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            load_config(path, registry=REGISTRY)


def test_a_small_model_warns_and_loads() -> None:
    loaded = load_config("tiny-cpu", registry=REGISTRY, overrides=["model.dim=128", "train.steps=10"])
    assert [warning.partition(" ")[0] for warning in loaded.warnings] == ["schedule.warmup_steps", "quantizer.0:"]
    assert load_config("tiny-cpu", registry=REGISTRY).warnings == ()
    unused = load_config("tiny-cpu", registry=REGISTRY, overrides=["optimizer.0.match=matrx", "optimizer.1.name=adamw"])
    assert unused.warnings == ("optimizer.0: match = 'matrx' takes no parameter of this model",)


def test_averages_of_ternary_weights_are_warned_about() -> None:
    def warnings(*overrides: str) -> tuple[str, ...]:
        return load_config("tiny-cpu", registry=REGISTRY, overrides=overrides).warnings

    (warning,) = warnings("train.ema_decay=0.98")
    assert warning.startswith(
        "train.ema_decay: averaged weights round to other codes than those trained with quantizer.0 "
    )
    assert warnings("train.ema_decay=0.98", 'quantizer=[{match="matrix",name="int4"}]') == ()
    assert warnings("train.ema_decay=0.98", "quantizer=[]") == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('schedules = { lr = { name = "constant" } }', "optimizer.0.schedules.lr: write it as schedule = { ... }"),
        ('schedules = { lr = "constant", betas = "constant" }', "schedules.betas: optimizer muon has no scheduled"),
    ],
)
def test_schedules_that_training_would_refuse(tmp_path: Path, line: str, message: str) -> None:
    text = TINY.replace("momentum = 0.95", f"momentum = 0.95\n{line}")
    number = line_number(text, "schedules = ")
    assert any(found.startswith(f"{number}: ") and message in found for found in problems(tmp_path, text))


def test_every_warm_up_that_never_ends_is_told() -> None:
    changes = ["optimizer.0.schedule={name='linear',warmup_steps=9000}", "optimizer.0.schedules.momentum.name=cosine"]
    loaded = load_config("tiny-cpu", registry=REGISTRY, overrides=changes)
    (warning,) = loaded.warnings
    assert warning.startswith("optimizer.0.schedule.warmup_steps 9000 is not below train.steps 5000")


def test_schedules_of_undeclared_hyperparameters(tmp_path: Path) -> None:
    text = TINY.replace("momentum = 0.95", 'momentum = 0.95\nschedules = { betas = { name = "constant" } }')
    assert any("no scheduled hyperparameter" in line for line in problems(tmp_path, text))
    fine = TINY.replace("momentum = 0.95", 'momentum = 0.95\nschedules = { momentum = { name = "constant" } }')
    (tmp_path / "fine.toml").write_text(fine)
    load_config(tmp_path / "fine.toml", registry=REGISTRY)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tiny-cup", "did you mean 'tiny-cpu'"),
        ("nowhere/x.toml", "no such file"),
        (".", "is a folder"),
        ("x" * 5000, "not a usable path"),
    ],
)
def test_no_such_configuration(target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config(target, registry=REGISTRY)


def test_a_folder_hides_no_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny-cpu").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_config("tiny-cpu", registry=REGISTRY).path == presets_dir() / "tiny_cpu.toml"
    (tmp_path / "nano-125m").write_text("[model]")
    with pytest.raises(ConfigError, match="^nano-125m"):
        load_config("nano-125m", registry=REGISTRY)


def test_a_missing_plugin_has_its_own_exit_code() -> None:
    lame = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": "", "NANOCHAT_DISABLE_PLUGINS": "schedules"}).registry
    with pytest.raises(ConfigError, match="schedules is disabled") as error:
        load_config("tiny-cpu", registry=lame)
    assert error.value.exit_code == 4
    with pytest.raises(ConfigError, match="schedules is disabled") as error:
        load_config("tiny-cpu", registry=lame, overrides=["train.stepz=1"])
    assert error.value.exit_code == 2, "another mistake needs the person, not a plugin"


def test_the_lock_names_every_component() -> None:
    rows = components_lock(load_config("tiny-cpu", registry=REGISTRY).config)
    assert {(row["kind"], row["name"]) for row in rows} == {
        ("model", "decoder"),
        ("attention", "gqa"),
        ("ffn", "swiglu"),
        ("norm", "rms"),
        ("residual", "add"),
        ("quantizer", "ternary"),
        ("optimizer", "muon"),
        ("optimizer", "lion"),
        ("schedule", "wsd"),
        ("source", "tokens"),
    }
    assert all(row["distribution"] == "nanochat-framework" for row in rows)


def _loads_or_explains(path: Path | str, registry: Registry, overrides: list[str]) -> None:
    try:
        load_config(path, registry=registry, overrides=overrides)
    except NanochatError as error:
        assert str(error)
        assert error.exit_code in (2, 4)


PIECES = st.sampled_from(
    ["=", "[", "]", "{", "}", '"', "'", '"""', "\n", ".", ",", "#", "0", "-1", "nan", "é", "\x85", "[["]
)


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, len(TINY)), cut=st.integers(0, 30), inserted=st.lists(PIECES, max_size=4).map("".join))
def test_no_mutated_file_gives_a_traceback(
    position: int, cut: int, inserted: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.toml"
    path.write_text(TINY[:position] + inserted + TINY[position + cut :], encoding="utf-8")
    _loads_or_explains(path, REGISTRY, [])


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60))
def test_no_bytes_give_a_traceback(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(content)
    _loads_or_explains(path, REGISTRY, [])


def test_the_source_is_kept_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "crlf.toml"
    path.write_bytes(TINY.replace("\n", "\r\n").encode())
    loaded = load_config(path, registry=REGISTRY)
    assert loaded.layers[-1].source == path.read_bytes()
    assert loaded.config.to_dict() == load_config("tiny-cpu", registry=REGISTRY).config.to_dict()
