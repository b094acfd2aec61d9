"""`[sample]`: texts during training, the same after a resume, and training none the wiser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from nanochat_framework.cli import main
from nanochat_framework.inference.bundle import bundle_from_checkpoint, model_from_bundle
from nanochat_framework.inference.engine import TextGenerator
from nanochat_framework.inference.settings import GenerationSettings, SamplingSettings
from nanochat_framework.plugins import Registry
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.metrics import read_metrics
from tests.conftest import tiny_dict
from tests.training.test_control import ask, trained

PROMPTS = ["def f(", "größer\n"]
SAMPLE = {"prompts": PROMPTS, "every": 3, "max_tokens": 12, "temperature": 0.9, "seed": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens of a small text, and a configuration that trains on them."""
    path = tmp_path_factory.mktemp("samples")
    (path / "text.txt").write_text("def f(x):\n    return größer(x)\n" * 400)
    prepare = ["prepare-data", "--text", str(path / "text.txt"), "--vocab-size", "320", "--output", str(path / "data")]
    assert main(prepare) == 0
    write_config(path, "with.toml", sample=SAMPLE)
    write_config(path, "without.toml")
    return path


def write_config(folder: Path, name: str, **changes: Any) -> Path:
    """The tiny configuration on the folder's tokens, with the means to resume from step 4."""
    data = {"source": {"name": "tokens", "path": str(folder / "data" / "tokens.bin")}, "seq_len": 16}
    table = tiny_dict(model__vocab_size=320, checkpoint={"every": 4}, train__steps=8, data=data, **changes)
    (folder / name).write_text(tomli_w.dumps(table))
    return folder / name


def train(folder: Path, config: str, run: str, *options: str) -> Path:
    """Train in this process; the run's folder."""
    assert main(["train", str(folder / config), "--run", run, "--runs-dir", str(folder / "runs"), *options]) == 0
    return folder / "runs" / run


@pytest.fixture(scope="module")
def sampled(folder: Path) -> Path:
    """A run with samples."""
    return train(folder, "with.toml", "sampled", "--quiet")


def read_samples(run: Path) -> list[dict[str, Any]]:
    """What a run wrote, without times."""
    records = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert all(record.pop("time") > 1e9 for record in records)
    return records


def test_samples_are_what_generate_gives_for_the_checkpoint(sampled: Path, registry: Registry) -> None:
    records = read_samples(sampled)
    assert [(each["step"], each["prompt_index"], each["attempt"]) for each in records] == [
        (step, index, 1) for step in (3, 6, 8) for index in (0, 1)
    ]
    assert [each["prompt"] for each in records[:2]] == PROMPTS and records[0]["tokens"] == 3 * 4 * 16
    bundle = bundle_from_checkpoint(sampled / "checkpoints" / "final", registry)
    assert bundle.tokenizer is not None
    generator = TextGenerator(model_from_bundle(bundle), bundle.tokenizer)
    settings = GenerationSettings(12, SamplingSettings(temperature=0.9, seed=5))
    for record, prompt in zip(records[-2:], PROMPTS, strict=True):
        alone = generator.generate(generator.prompt(prompt), settings)
        assert record["text"] == alone.text and record["finish_reason"] == alone.finish_reason
    events = [json.loads(line) for line in (sampled / "events.jsonl").read_text().splitlines()]
    assert [(each["step"], each["n_samples"]) for each in events if each["kind"] == "sampled"] == [
        (3, 2),
        (6, 2),
        (8, 2),
    ]


def test_training_is_the_same_with_and_without(folder: Path, sampled: Path) -> None:
    plain = train(folder, "without.toml", "plain", "--quiet")
    assert not (plain / "samples.jsonl").exists()

    def losses(run: Path) -> list[float]:
        return [record["train/loss"] for record in read_metrics(run / "metrics.jsonl") if "train/loss" in record]

    assert losses(plain) == losses(sampled) and len(losses(plain)) == 8
    for name in ("model.safetensors", "optimizer_state.safetensors"):
        assert (plain / "checkpoints/final" / name).read_bytes() == (sampled / "checkpoints/final" / name).read_bytes()


def test_sampling_leaves_the_global_generator_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nanochat_framework.training.samples import SampleCallback

    original, seen = SampleCallback._sample, []

    def watched(self: SampleCallback, trainer: Any) -> Any:
        before = torch.get_rng_state()
        samples = original(self, trainer)
        seen.append(torch.equal(before, torch.get_rng_state()) and trainer.module.model.training)
        return samples

    monkeypatch.setattr(SampleCallback, "_sample", watched)
    train(folder, "with.toml", "watched", "--quiet")
    assert seen == [True] * 3


def test_a_resumed_run_writes_the_same_samples(folder: Path, sampled: Path, tmp_path: Path) -> None:
    shutil.copytree(sampled, tmp_path / "again")
    assert main(["resume", "again", "--from", "step_00000004", "--runs-dir", str(tmp_path), "--quiet"]) == 0
    records = read_samples(tmp_path / "again")
    first, second = ([each for each in records if each["attempt"] == attempt] for attempt in (1, 2))
    assert first == read_samples(sampled)
    assert [{**each, "attempt": 1} for each in second] == [each for each in first if each["step"] > 4]


def test_samples_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(folder, "with.toml", "shown", "--set", "sample.every=100")
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sample ")]
    assert [line.partition(":")[0] for line in shown] == ["sample 1", "sample 2"]
    text = read_samples(run)[0]["text"]
    assert json.loads(shown[0].partition(": ")[2]) == "def f(" + text and r"größer\n" in shown[1]


def test_scores_that_are_no_numbers_do_not_end_the_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nanochat_framework.inference import prefix

    original = prefix.next_logits
    monkeypatch.setattr(prefix, "next_logits", lambda *given: original(*given) * torch.nan)
    run = train(folder, "with.toml", "damaged", "--quiet")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert ["not numbers" in each["error"] for each in events if each["kind"] == "sampled"] == [True] * 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sample": {**SAMPLE, "prompts": ["fine", "long " * 100]}}, "sample.prompts.1: the prompt is"),
        ({"sample": {**SAMPLE, "every": 0}}, "sample.every"),
        ({"sample": {**SAMPLE, "temperature": -1}}, "sample.temperature"),
        ({"sample": {**SAMPLE, "promts": []}}, "did you mean 'prompts'?"),
    ],
)
def test_refusals(folder: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], expected: str) -> None:
    config = write_config(folder, "refused.toml", **changes)
    assert main(["train", str(config), "--run", "refused", "--runs-dir", str(folder / "runs")]) == 2
    written = capsys.readouterr()
    assert expected in written.err and written.err.count("\n") == 1
    assert not (folder / "runs" / "refused").exists()


def test_data_that_is_no_text_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "synthetic.toml"
    path.write_text(tomli_w.dumps(tiny_dict(sample={"prompts": ["x"]})))
    assert main(["train", str(path), "--run", "synthetic", "--runs-dir", str(folder / "runs")]) == 2
    assert "sample.prompts: the data has no tokenizer" in capsys.readouterr().err


def test_samples_on_request(folder: Path) -> None:
    """`nanochat runs sample` writes what the model would write when samples are due, once a step."""
    write_config(folder, "asked.toml", sample={**SAMPLE, "every": 10**6})
    run = RunDirectory(folder / "runs" / "asked")

    def steer(run: RunDirectory) -> None:
        assert ask(run, "pause").verdict == "done"
        assert [ask(run, "sample").facts["n_samples"] for _ in range(2)] == [len(SAMPLE["prompts"])] * 2
        assert ask(run, "stop").verdict == "done"

    options = ["--run", "asked", "--set", "train.steps=1000000"]
    assert trained(["train", str(folder / "asked.toml"), *options], run, steer) == 3
    samples = read_samples(run.path)
    assert [sample["prompt"] for sample in samples] == list(SAMPLE["prompts"])
    assert {sample["step"] for sample in samples} == {read_metrics(run.metrics)[-1]["step"]}
