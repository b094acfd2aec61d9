"""Tab in real shells: the printed scripts are loaded, and asked what they would show."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nanochat_framework.cli import COMMANDS
from nanochat_framework.config.known_keys import component_keys, section_keys
from nanochat_framework.config.load import load_config
from nanochat_framework.config.presets import preset_names
from nanochat_framework.config.settable_keys import settable_keys
from nanochat_framework.plugins import Registry

NAMES = [name for commands in COMMANDS.values() for name in commands]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A shell's environment with `nanochat` on its PATH, and a folder with two runs and two files."""
    program = tmp_path / "bin" / "nanochat"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nanochat_framework "$@"\n')
    program.chmod(0o755)
    for name in ("first-run", "second"):
        (tmp_path / "runs" / name / "checkpoints" / "final").mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    (tmp_path / "mine.toml").write_text('extends = "tiny-cpu"\n')
    (tmp_path / "mine.gguf").touch()
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}


def shell(name: str, script: str, environ: dict[str, str]) -> str:
    if not shutil.which(name):
        pytest.skip(f"{name} is not here")
    flags = {"bash": ["--norc"], "fish": ["--no-config"]}.get(name, [])
    done = subprocess.run(
        [name, *flags, "-c", script], env=environ, cwd=environ["HOME"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_bash(line: str, environ: dict[str, str]) -> list[str]:
    """What bash's completion function answers for a line with the cursor at its end."""
    script = f"""
        source <(nanochat completion bash)
        COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}; COMP_TYPE=9
        _python_argcomplete nanochat
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return [word.rstrip() for word in shell("bash", script, environ).split("\n") if word]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nanochat trai", ["train"]),
        ("nanochat train nano-125m-", ["nano-125m-gqa", "nano-125m-mhc"]),
        ("nanochat train mi", ["mine.toml"]),
        ("nanochat train tiny-cpu --nproc 2 --se", ["--set", "--seq-len"]),
        ("nanochat export --checkpoint mine.g", ["mine.gguf"]),
        ("nanochat checkpoints rm second fi", ["final"]),
        ("nanochat train --config nano-1b", ["nano-1b"]),
        ("nanochat config s", ["show", "schema"]),
        ("nanochat config diff s", ["second", "small-560m"]),
        ("nanochat components show opti", ["optimizer"]),
        ("nanochat components show optimizer lio", ["lion", "lion_8bit"]),
        ("nanochat export first-run --to g", ["gguf"]),
        ("nanochat eval first-run --tasks bp", ["bpb"]),
        ("nanochat resume f", ["first-run"]),
        ("nanochat train tiny-cpu --run f", []),
        ("nanochat resume first-run --from fi", ["final"]),
        ("nanochat runs --runs-dir nowhere show f", []),
        ("nanochat generate mi", ["mine.gguf", "mine.toml"]),
        ("nanochat completion f", ["fish"]),
        ("nanochat nothing-such x", []),
    ],
)
def test_bash(line: str, expected: list[str], environ: dict[str, str]) -> None:
    found = in_bash(line, environ)
    assert sorted(set(found)) == sorted(expected)


def test_bash_shows_every_command_and_preset(environ: dict[str, str]) -> None:
    assert set(NAMES) <= set(in_bash("nanochat ", environ))
    assert set(preset_names()) <= set(in_bash("nanochat train ", environ))


def test_keys_of_set(environ: dict[str, str]) -> None:
    assert in_bash("nanochat train tiny-cpu --set train.prec", environ) == ["train.precision="]
    assert in_bash("nanochat train mine.toml --set optimizer.0.moment", environ) == ["optimizer.0.momentum="]
    assert in_bash("nanochat train --set model.atten", environ) == [], "without a configuration there is no model"


def test_a_broken_configuration_shows_nothing_and_says_nothing(environ: dict[str, str]) -> None:
    (Path(environ["HOME"]) / "mine.toml").write_text("[model\n")
    assert in_bash("nanochat train mine.toml --set train.prec", environ) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nanochat resum", {"resume": "continue a run exactly where it stopped"}),
        ("nanochat resume f", {"first-run": "run"}),
        ("nanochat train tiny-cpu --after f", {"first-run": "run"}),
        ("nanochat config show tiny-cpu --set train.prec", {"train.precision=": None}),
    ],
)
def test_fish(line: str, expected: dict[str, str | None], environ: dict[str, str]) -> None:
    shown = shell("fish", f"nanochat completion fish | source; complete -C '{line}'", environ)
    found = dict(row.partition("\t")[::2] for row in shown.splitlines())
    assert set(found) == set(expected)
    assert all(text is None or found[name] == text for name, text in expected.items())


def test_zsh(environ: dict[str, str]) -> None:
    """zsh completes only for its line editor, so the keys are typed at a real one."""
    if not shutil.which("zsh"):
        pytest.skip("zsh is not here")
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.chdir(environ["HOME"])
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**environ, "TERM": "xterm", "PS1": "ready> "})
    shown = b""

    def expect(text: str, seconds: float = 60.0) -> None:
        nonlocal shown
        end = time.monotonic() + seconds
        while text.encode() not in shown:
            assert time.monotonic() < end, f"no {text!r} in {shown!r}"
            if select.select([terminal], [], [], 1.0)[0]:
                shown += os.read(terminal, 65536)

    try:
        expect("ready> ")
        os.write(
            terminal, b"autoload -U compinit && compinit -u && source <(nanochat completion zsh) && echo load''ed\n"
        )
        expect("loaded")
        shown = b""
        os.write(terminal, b"nanochat resume f\t")
        expect("first-run")
    finally:
        os.close(terminal)
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.mark.parametrize("line", ["nanochat ", "nanochat train ", "nanochat resume ", "nanochat train tiny-cpu --set "])
def test_an_answer_imports_little(line: str, environ: dict[str, str]) -> None:
    script = (
        f"_ARGCOMPLETE=1 COMP_LINE='{line}' COMP_POINT={len(line)} '{sys.executable}' -X importtime "
        "-m nanochat_framework 8>/dev/null 2>&1"
    )
    imported = {row.rpartition("|")[2].strip() for row in shell("bash", script, environ).splitlines()}
    assert "argcomplete.finders" in imported
    assert not {"torch", "numpy", "pydantic", "textual", "nanochat_framework.config.load"} & imported


def test_settable_keys_are_settable(registry: Registry) -> None:
    keys = settable_keys("tiny-cpu", registry)
    assert {"train.steps", "model.dim", "model.attention.n_heads", "optimizer.1.lr", "data.source.path"} <= set(keys)
    assert all(keys.values()), "every key is described"
    overrides = ["optimizer.1.lr=0.5", "train.steps=123", "model.attention.n_heads=2", "model.attention.n_kv_heads=1"]
    assert {each.partition("=")[0] for each in overrides} <= set(keys)
    config = load_config("tiny-cpu", registry=registry, overrides=overrides).config
    assert config.train.steps == 123


@pytest.mark.parametrize("preset", preset_names())
def test_the_committed_schema_says_what_the_classes_say(preset: str, registry: Registry) -> None:
    keys = settable_keys(preset, registry)
    for section, inner in section_keys():
        assert (
            inner.items()
            <= {key.partition(".")[2]: text for key, text in keys.items() if key.startswith(f"{section}.")}.items()
        )
    data = load_config(preset, registry=registry).config.to_dict()
    for path, part in (
        ("model", data["model"]),
        *((f"optimizer.{n}", rule) for n, rule in enumerate(data["optimizer"])),
    ):
        expected = component_keys(path.partition(".")[0], part["name"], registry)
        assert expected.items() <= {key.removeprefix(f"{path}."): text for key, text in keys.items()}.items()


def test_keys_of_a_strangers_component_are_imported(probe_registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "probe.toml"
    file.write_text(
        '[model]\nname = "decoder"\nffn = { name = "probe/top2", hidden_dim = 8 }\nnorm = { name = "nobody/none" }\n'
    )
    keys = settable_keys(str(file), probe_registry)
    assert "model.ffn.hidden_dim" in keys
    assert not any(key.startswith("model.norm.") for key in keys)
