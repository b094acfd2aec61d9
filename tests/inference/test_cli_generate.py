"""`nanochat generate`, from the command line."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.runs.checkpoint_manifest import seal
from tests.inference.checkpoints import make_run

MakeConfig = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def run(tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`runs/first` in the working directory, with a final checkpoint of a context of 64."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANOCHAT_LOAD_PLUGINS", "")
    return make_run(tmp_path / "runs" / "first", tiny_config(model__vocab_size=608))


def generate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """stdout and stderr of a run that succeeds."""
    assert main(["generate", *arguments]) == 0
    written = capsys.readouterr()
    return written.out, written.err


def test_text_to_stdout_and_speed_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = generate(capsys, "first", "--prompt", "def f", "--max-tokens", "8")
    assert out.endswith("\n") and len(out) > 1
    assert "8 tokens, " in err and " tokens/s (prompt " in err and "ended by length" in err and err.count("\n") == 1
    assert generate(capsys, "first", "--prompt", "def f", "--max-tokens", "8")[0] == out
    assert generate(capsys, "first", "--prompt", "def f", "--max-tokens", "8", "--seed", "5")[0] != out


def test_a_file_gives_the_text_of_its_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "first", "--to", "gguf", "--output", "first.gguf"]) == 0
    capsys.readouterr()
    settings = ["--prompt", "import os", "--max-tokens", "30", "--temperature", "1.5", "--top-p", "0.9"]
    assert generate(capsys, "first.gguf", *settings)[0] == generate(capsys, "first", *settings)[0]


def test_jsonl_samples_and_stdin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("größer\r\n".encode()), newline=""))
    settings = ["--samples", "3", "--seed", "7", "--max-tokens", "100", "--temperature", "3", "--top-k", "0"]
    out, err = generate(capsys, "first", "--prompt", "-", "--jsonl", *settings)
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["seed"] for record in records] == [7, 8, 9] and err == ""
    assert {record["prompt"] for record in records} == {"größer\r\n"}
    assert {record["finish_reason"] for record in records} <= {"context", "stop"}
    assert len({tuple(record["tokens"]) for record in records}) == 3
    alone, _ = generate(capsys, "first", "--prompt", "größer\r\n", "--json", "--seed", "9", *settings[4:])
    assert json.loads(alone)[0]["tokens"] == records[2]["tokens"]


@pytest.mark.parametrize("batch_size", ["1", "3"])
def test_several_prompts_give_what_each_gives_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, batch_size: str
) -> None:
    (tmp_path / "plain.txt").write_bytes(b"import os\n\nclass A:\r\n\xff\xfe")
    (tmp_path / "more.jsonl").write_text('"x = 1\\n"\n{"prompt": "größer", "id": 3}\n')
    settings = ["-m", "12", "-t", "0", "--batch-size", batch_size]
    for file, texts in (("plain.txt", [b"import os", b"class A:", b"\xff\xfe"]), ("more.jsonl", ["x = 1\n", "größer"])):
        out, _ = generate(capsys, "first", "--prompt", "def f", "--prompts-file", file, "--json", *settings)
        records = json.loads(out)
        prompts = ["def f", *(os.fsdecode(text) for text in texts)]
        assert [record["prompt_index"] for record in records] == list(range(len(prompts)))
        for prompt, record in zip(prompts, records, strict=True):
            alone = json.loads(generate(capsys, "first", "--prompt", prompt, "--json", *settings)[0])[0]
            assert record["tokens"] == alone["tokens"] and record["text"] == alone["text"]
            assert record["prompt_tokens"] == alone["prompt_tokens"] and record["tokens_per_second"] > 0


def test_several_texts_come_in_order_with_their_speed(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = generate(capsys, "first", "--prompt", "a", "--prompt", "b", "--samples", "2", "-m", "3", "-t", "0")
    alone = [generate(capsys, "first", "--prompt", prompt, "-m", "3", "-t", "0")[0] for prompt in "ab"]
    assert out == alone[0] * 2 + alone[1] * 2
    lines = err.splitlines()
    assert [line.partition(":")[0] for line in lines[:4]] == [f"prompt {p}, sample {s}" for p in (1, 2) for s in (1, 2)]
    assert lines[4].startswith("together: 4 texts, 12 tokens, ") and len(lines) == 5


def test_logprobs_are_those_of_the_model_whatever_the_sampling(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["first", "--prompt", "def f", "-m", "6", "--json", "--logprobs", "3", "--seed", "2"]
    record = json.loads(generate(capsys, *settings, "-t", "5", "--top-k", "0")[0])[0]
    assert [each["token"] for each in record["logprobs"]] == record["tokens"]
    assert "".join(each["text"] for each in record["logprobs"]) == record["text"]
    first = record["logprobs"][0]
    greedy = json.loads(generate(capsys, *settings, "-t", "0")[0])[0]["logprobs"][0]
    assert greedy["top"] == first["top"] and greedy["logprob"] == greedy["top"][0]["logprob"] >= first["logprob"]
    assert len(first["top"]) == 3 and all(each["logprob"] < 0 for each in first["top"])


def test_every_option_reaches_the_sampler(capsys: pytest.CaptureFixture[str]) -> None:
    def tokens(*options: str) -> list[int]:
        out = generate(capsys, "first", "--prompt", "def f", "-m", "20", "--json", "--top-k", "0", *options)[0]
        drawn: list[int] = json.loads(out)[0]["tokens"]
        return drawn

    greedy, free = tokens("-t", "0"), tokens("-t", "2")
    assert tokens("-t", "2", "--top-p", "0.0001") == tokens("-t", "2", "--min-p", "0.9999999") == greedy
    assert tokens("-t", "2", "--top-k", "1") == greedy and free != greedy
    assert tokens("-t", "0", "--logit-bias", "65=100") == [65] * 20
    assert tokens("-t", "0", "--logit-bias", " self=100") == [tokens("-t", "0", "--logit-bias", " self=100")[0]] * 20
    assert tokens("-t", "0", "--logit-bias", "<|eos|>=100") == []
    biased = ("-t", "0", "--logit-bias", "65=98.5", "--logit-bias", "66=97")
    assert tokens(*biased) == [65] * 20
    assert 66 in tokens(*biased, "--presence-penalty", "2")
    assert 66 in tokens(*biased, "--frequency-penalty", "0.5")
    assert 66 in tokens(*biased, "--repetition-penalty", "20")


def test_a_stop_string_ends_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--prompt", "x", "--max-tokens", "30", "--temperature", "0"]
    free, _ = generate(capsys, "first", *settings)
    stop = free[3:5]
    out, err = generate(capsys, "first", *settings, "--stop", "never said", "--stop", stop)
    assert out == free[: free.index(stop)] + "\n" and "ended by stop" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["frist"], "no model 'frist'"),
        (["first", "--temperature", "-1"], "--temperature must be 0 (greedy) or more, not -1"),
        (["first", "-t", "nan"], "--temperature must be"),
        (["first", "-t", "hot"], "--temperature: invalid float value: 'hot'"),
        (["first", "--top-k", "-1"], "--top-k must be"),
        (["first", "--top-p", "2"], "--top-p must be"),
        (["first", "--min-p", "1"], "--min-p must be"),
        (["first", "--repetition-penalty", "0"], "--repetition-penalty must be above 0"),
        (["first", "--presence-penalty", "3"], "--presence-penalty must be between -2 and 2, not 3"),
        (["first", "--frequency-penalty", "-3"], "--frequency-penalty must be between -2 and 2, not -3"),
        (["first", "--seed", "-1"], "--seed must be"),
        (["first", "--max-tokens", "0"], "--max-tokens must be"),
        (["first", "--samples", "0"], "--samples must be"),
        (["first", "--batch-size", "0"], "--batch-size must be"),
        (["first", "--threads", "-1"], "--threads must be"),
        (["first", "--stop", ""], "--stop must not be empty"),
        (["first", "--logprobs", "2"], "with --json or --jsonl only"),
        (["first", "--json", "--logprobs", "-2"], "--logprobs must be 0"),
        (["first", "--json", "--jsonl"], "not allowed with"),
        (["first", "--logit-bias", "the"], "say TOKEN=BIAS"),
        (["first", "--logit-bias", "the=101"], "between -100 and 100"),
        (["first", "--logit-bias", "600=1"], "no such token; ids are 0 to 599"),
        (["first", "--logit-bias", "zqzq=1"], "'zqzq': this is 4 tokens ("),
        (["first", "--prompts-file", "none.txt"], "--prompts-file none.txt: No such file"),
        (["first", "--prompts-file", "empty.txt"], "empty.txt: has no prompts"),
        (["first", "--prompts-file", "odd.jsonl"], 'odd.jsonl:2: say a JSON string, or an object with a "prompt"'),
        (["first", "--prompts-file", "torn.jsonl"], "torn.jsonl:1: not JSON"),
        (["first", "--prompts-file", "long.txt"], "long.txt:2: the prompt is 201 tokens long"),
        (["first", "--prompt", "-", "--prompt", "-"], "reads stdin, and can do so once"),
        (["first", "--prompt", "long " * 200], "the model reads at most 64"),
    ],
)
def test_refusals(capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    Path("empty.txt").write_text("\n\n")
    Path("odd.jsonl").write_text('"fine"\n{"text": "x"}\n')
    Path("torn.jsonl").write_text('{"prompt": "x"')
    Path("long.txt").write_text("fine\n" + "\u00e9" * 100)
    prompt = [] if {"--prompt", "--prompts-file"} & set(arguments) else ["--prompt", "x"]
    assert main(["generate", *arguments, *prompt]) == 2
    written = capsys.readouterr()
    assert written.out == "" and written.err.count("\n") == 1 and expected in written.err


def test_a_model_without_tokenizer_says_so(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    (run / "checkpoints" / "final").rename(copied)
    (copied / "tokenizer.json").unlink()
    (copied / "manifest.json").unlink()
    seal(copied, None)
    assert main(["generate", "copied", "--prompt", "x"]) == 2
    assert "copied: has no tokenizer" in capsys.readouterr().err
