"""docs/presets.md is what the generator makes now, and its command lines name configurations that check out."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from nanochat_framework.cli import main
from nanochat_framework.cli import train as train_command
from nanochat_framework.cli.earlier_flags import resolve_earlier_flags
from nanochat_framework.config.load import load_config
from nanochat_framework.config.presets import preset_names
from nanochat_framework.plugins import Registry
from tests.conftest import REPOSITORY
from tests.docs.test_commands import commands

PAGE, README = REPOSITORY / "docs" / "presets.md", REPOSITORY / "README.md"
LINES = [shlex.split(line) for line in commands(PAGE, "plan")]
TRAININGS = [line[2:] for line in LINES if line[1] == "train" and "--resume" not in line]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("preset_tables", REPOSITORY / "benchmarks" / "preset_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(generator: ModuleType, registry: Registry) -> None:
    expected = f"{generator.BEGIN}\n{generator.generated(registry)}{generator.END}"
    assert expected in PAGE.read_text(), "docs/presets.md is out of date: python benchmarks/preset_tables.py"
    expected = f"{generator.BEGIN}\n{generator.readme_table(registry)}{generator.END}"
    assert expected in README.read_text(), "README.md is out of date: python benchmarks/preset_tables.py"


def test_every_preset_has_every_command() -> None:
    expected = ["prepare-data", "plan", "train", "resume", "eval", "export", "generate", "train", "train", "export"]
    assert [line[1] for line in LINES] == expected * len(preset_names())


@pytest.mark.parametrize("arguments", TRAININGS, ids=" ".join)
def test_trainings_pass_config_check(arguments: list[str], registry: Registry) -> None:
    parser = argparse.ArgumentParser()
    train_command.configure(parser)
    flags = resolve_earlier_flags(parser.parse_args(arguments))
    load_config(flags.config, registry=registry, overrides=flags.overrides)


@pytest.mark.parametrize("arguments", [line[1:] for line in LINES if line[1] == "plan"], ids=" ".join)
def test_plans_run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert all(row["fits"] is not None for row in plan["memory"]["rows"])


@pytest.mark.slow
@pytest.mark.parametrize(("option", "bytes_of_a_number"), [("f32", 4), ("f16", 2)])
def test_stated_size_of_a_gguf_is_the_files(
    option: str,
    bytes_of_a_number: int,
    generator: ModuleType,
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = ["--set", 'data.source={name="synthetic",n_samples=500}', "--set", "train.steps=1", "--set", "eval.every=0"]
    small += ["--set", "schedule.warmup_steps=0", "--set", "train.batch_size=1"]
    assert main(["train", "tiny-cpu", "--runs-dir", str(tmp_path), "--run", "r", "--quiet", *small]) == 0
    file = tmp_path / "r.gguf"
    export = ["export", "r", "--runs-dir", str(tmp_path), "--to", "gguf", "--output", str(file)]
    assert main([*export, "--option", f"embedding_type={option}"]) == 0
    capsys.readouterr()
    stated = generator.gguf_bytes(generator._plan("tiny-cpu", registry), bytes_of_a_number)
    assert file.stat().st_size == pytest.approx(stated, rel=0.02)  # no tokenizer in this one
