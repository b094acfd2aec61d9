"""`nanochat report` of real runs: finished and resumed, without an evaluation, running, lost, failed, empty and damaged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from nanochat_framework.cli import main
from nanochat_framework.report.story import _command
from nanochat_framework.runs.status import StatusFile
from tests.conftest import tiny_dict
from tests.report.test_page import Page

PROMPT = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder, and a run on it that was rewound and resumed once."""
    path = tmp_path_factory.mktemp("report")
    (path / "text.txt").write_text("".join(f"def f{n}(x):\n    return größer(x, {n})\n\n" for n in range(3000)))
    prepare = ["prepare-data", "--text", str(path / "text.txt"), "--vocab-size", "320", "--output", str(path / "data")]
    assert main(prepare) == 0
    data = {"source": {"name": "tokens", "path": str(path / "data" / "tokens.bin")}, "seq_len": 16}
    sample = {"prompts": [PROMPT], "every": 3, "max_tokens": 8}
    changes = {
        "model__vocab_size": 320,
        "checkpoint": {"every": 2},
        "eval": {"every": 3, "batches": 2},
        "sample": sample,
    }
    (path / "tiny.toml").write_text(tomli_w.dumps(tiny_dict(data=data, **changes)))
    options = ["--runs-dir", str(path / "runs"), "--quiet"]
    assert main(["train", str(path / "tiny.toml"), "--run", "whole", "--set", "train.seed=7", *options]) == 0
    assert main(["resume", "whole", "--from", "step_00000004", *options]) == 0
    return path


def report(folder: Path, run: Path | str, *options: str) -> tuple[str, str]:
    """HTML and Markdown of a run."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    assert main(["report", str(run), "--runs-dir", str(folder / "runs"), "--output", str(out), *options]) == 0
    return (out / "report.html").read_text(), (out / "report.md").read_text()


def copied(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder / "runs" / "whole", tmp_path / "copy")
    return tmp_path / "copy"


def test_a_finished_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, text = report(folder, "whole", "--price-per-hour", "3.6")
    assert capsys.readouterr().out.split() == [str(folder / "out" / "report.html"), str(folder / "out" / "report.md")]
    parsed = Page(page)
    shown = " ".join(parsed.texts["body"])
    assert "trained for 6 of 6 steps and 384 tokens" in shown
    assert "finished" in parsed.texts["span"][0]
    names = [name for name, _ in parsed.elements]
    assert "script" not in names
    assert names.count("svg") >= 5
    assert PROMPT in parsed.texts["b"], "the prompt of a sample, as text"
    charts = parsed.texts["strong"]
    assert {"Loss", "Bits per byte of held-out text", "Learning rates", "Gradient norm", "Speed", "Memory"} <= set(
        charts
    )
    for words in (
        "xz -9e",
        "gzip -9",
        "going on after step 4",
        "--set train.seed=7",
        "in 2 attempts",
        "at 3.6 an hour",
    ):
        assert words in shown
    facts = json.loads((folder / "data" / "data.json").read_text())["files"]["tokens.bin"]
    assert facts["sha256"] in shown
    assert f"{facts['tokens']:,}" in shown
    assert "## Held\\-out scores" in text or "## Held-out scores" in text
    score = json.loads((folder / "runs" / "whole" / "status.json").read_text())["metrics"]["eval/loss"]
    assert f"{score:.3f}" in shown
    assert f"{score:.3f}" in text


def test_the_command_can_be_typed_again() -> None:
    assert _command(["/x/bin/nanochat", "train", "my model.toml"]) == "nanochat train 'my model.toml'"
    assert _command(["/x/nanochat_framework/__main__.py", "train"]) == "nanochat train"
    assert _command(["/x/mine.py", "train"]) == "/x/mine.py train"


def test_parameters_are_those_of_the_weights(folder: Path) -> None:
    from safetensors import safe_open

    with safe_open(folder / "runs/whole/checkpoints/final/model.safetensors", "pt") as weights:
        count = sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118
    assert f"{count:,}" in report(folder, "whole")[0]


def test_it_does_not_import_torch(folder: Path) -> None:
    script = (
        "import sys\nfrom nanochat_framework.cli import main\n"
        f"assert main(['report', {str(folder / 'runs' / 'whole')!r}, '--output', {str(folder / 'o')!r}]) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("failed", "It failed. It said: the disk is full"),
        ("stopped", "nanochat resume"),
        ("running", "Its process is gone and did not say why"),
        ("paused", "Its process is gone"),
    ],
)
def test_runs_that_did_not_end_well(folder: Path, tmp_path: Path, state: str, words: str) -> None:
    run = copied(folder, tmp_path)
    StatusFile(run / "status.json").update(state=state, error="the disk is full" if state == "failed" else None)
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "pid": 2**22 + 1}))
    page, text = report(folder, run)
    assert words in " ".join(Page(page).texts["body"])
    assert words in text


def test_a_run_that_lives(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path)
    StatusFile(run / "status.json").update(state="running")  # by this process, which lives
    assert "It is still training" in " ".join(Page(report(folder, run)[0]).texts["body"])


def test_a_run_without_an_evaluation(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path)
    lines = [line for line in (run / "metrics.jsonl").read_text().splitlines() if "eval/" not in line]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    shown = " ".join(Page(report(folder, run)[0]).texts["body"])
    assert "has not been evaluated on held-out text" in shown
    assert "never evaluated" in shown


def test_a_run_that_has_not_begun(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path)
    for name in ("metrics.jsonl", "events.jsonl", "samples.jsonl", "status.json"):
        (run / name).unlink()
    shutil.rmtree(run / "checkpoints")
    shown = " ".join(Page(report(folder, run)[0]).texts["body"])
    assert "has not finished a step yet" in shown
    assert "there is nothing to draw" in shown


def test_damaged_files_are_left_out(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path)
    for name in ("config.resolved.json", "components.lock.json", "events.jsonl", "samples.jsonl"):
        (run / name).write_bytes(b'{"kind": [\xff\n[1]\n{"step": "x", "time": {}}\n')
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'{"attempt": 2, "step": 6, "train/loss": "oops", "time": 1, "model/x": "NaN"}\n{"step": 7')
    page, _ = report(folder, run)
    assert "Loss" in Page(page).texts["strong"]
    (run / "run.json").write_text("{")
    assert main(["report", str(run)]) == 2


def test_formats_and_places(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(folder / "runs" / "whole")
    assert main(["report", run, "--format", "markdown", "--output", "-"]) == 0
    assert capsys.readouterr().out.startswith("# whole\n")
    assert main(["report", run, "--output", str(tmp_path / "deep" / "x.html")]) == 0
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.html"]
    assert main(["report", run, "--output", str(tmp_path / "y"), "--format", "html"]) == 0
    assert [path.name for path in (tmp_path / "y").iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "pdf"], "--format pdf: no such format; there are: html, markdown"),
        (["--format", ","], "name one of"),
        (["--output", ""], "--output: is empty; name a folder or a file"),
        (["--output", "-"], "stdout takes one format"),
        (["--output", "x.md", "--format", "html"], "a file of one format"),
        (["--price-per-hour", "dear"], "'dear' is not a price"),
        (["--price-per-hour", "nan"], "'nan' is not a price"),
        (["--output", "/proc/nowhere"], "cannot be written"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["report", str(folder / "runs" / "whole"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_an_unknown_run_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "whol", "--runs-dir", str(folder / "runs")]) == 2
    assert "did you mean 'whole'" in capsys.readouterr().err
