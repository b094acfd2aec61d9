"""A plugin of every kind, as `nanochat plugins new` writes it: built, installed, checked, and its own tests run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from nanochat_framework.plugins import KINDS
from nanochat_framework.plugins.scaffold import NewPlugin
from tests.conftest import tiny_dict

BUILD = "import sys\nfrom setuptools import build_meta\nbuild_meta.build_wheel(sys.argv[1])"


class Installed:
    """A folder of distributions, and one of what pip made of their wheels."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.site, wheels = folder, folder / "site", folder / "wheels"
        self.plugins = [NewPlugin(kind, "jo", f"my_{kind}") for kind in KINDS]
        for plugin in self.plugins:
            plugin.write(folder)
            self.run("-c", BUILD, str(wheels), cwd=folder / plugin.distribution)
        pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(self.site)]
        self.run(*pip, *map(str, sorted(wheels.glob("*.whl"))))

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run Python where the plugins are installed; its stdout."""
        environment = {**os.environ, "PYTHONPATH": str(self.site), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("new"))


def test_every_kind_is_there_and_passes_the_check(installed: Installed) -> None:
    names = [plugin.plugin for plugin in installed.plugins]
    rows = json.loads(installed.run("-m", "nanochat_framework", "plugins", "check", "--json", *names))
    assert {row["kind"] for row in rows} == set(KINDS)
    assert {row["plugin"] for row in rows} == set(names)
    assert [row for row in rows if row["wrong"]] == []


def test_its_own_tests_pass(installed: Installed) -> None:
    folders = [str(installed.folder / plugin.distribution / "tests") for plugin in installed.plugins]
    pytest_ = [
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        "--rootdir",
        str(installed.folder),
    ]
    output = installed.run(*pytest_, "-c", os.devnull, *folders)
    assert " passed" in output and "failed" not in output


def test_all_of_them_in_one_run(installed: Installed) -> None:
    """Prepared by one, trained with most, written by one, read and scored by the rest."""
    (installed.folder / "t.txt").write_text("\n\n".join(f"line {n} says {n * n}" for n in range(400)))
    (installed.folder / "u.txt").write_text("\n\n".join(f"line {n} says {n + n}" for n in range(400)))
    nanochat = ("-m", "nanochat_framework")
    prepare = ["prepare-data", "--source", "jo/my_source", "--text", "t.txt", "u.txt", "--vocab-size", "300"]
    installed.run(*nanochat, *prepare, "--output", "data")
    parts = {f"model__{part}": {"name": f"jo/my_{part}"} for part in ("attention", "ffn", "norm", "residual")}
    config = tiny_dict(
        **parts,
        model__vocab_size=300,
        quantizer=[{"match": "matrix", "name": "jo/my_quantizer"}],
        objective=[{"name": "jo/my_objective"}],
        token_filter={"name": "jo/my_token_filter"},
        optimizer=[{"match": "*", "name": "jo/my_optimizer"}],
        schedule={"name": "jo/my_schedule"},
        callback=[{"name": "jo/my_callback", "every": 2}],
        tracker=[{"name": "jo/my_tracker"}],
        data={"source": {"name": "tokens", "path": "data/tokens.bin"}, "seq_len": 16},
    )
    (installed.folder / "parts.toml").write_text(tomli_w.dumps(config))
    installed.run(*nanochat, "train", "parts.toml", "--run", "parts", "--quiet")
    model = 'model={name="jo/my_model", dim=32, vocab_size=300, max_seq_len=64}'
    installed.run(*nanochat, "train", "parts.toml", "--run", "whole", "--quiet", "--set", model)
    metrics = (installed.folder / "runs" / "parts" / "metrics.jsonl").read_text()
    assert "weights/norm/matrix" in metrics and "train/jo/my_objective" in metrics
    assert "\ttrain/loss\t" in (installed.folder / "runs" / "parts" / "metrics.tsv").read_text()
    for run in ("parts", "whole"):
        installed.run(*nanochat, "export", run, "--to", "jo/my_exporter", "--output", f"{run}.my_exporter")
        scores = json.loads(
            installed.run(*nanochat, "eval", f"{run}.my_exporter", "--tasks", "jo/my_evaluation", "--json")
        )
        assert 0 < scores["jo/my_evaluation"]["eval/zero_weights"]["value"] < 100
        drawn = [
            installed.run(*nanochat, "generate", m, "--prompt", "line", "--max-tokens", "8", "--temperature", "0")
            for m in (run, f"{run}.my_exporter")
        ]
        assert drawn[0] == drawn[1]
