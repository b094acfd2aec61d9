"""`nanochat generate`: text from prompts, once."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanochat_framework.cli.prompts import Prompt, read_prompts
from nanochat_framework.cli.text_options import (
    add_model_options,
    add_sampling_options,
    generation_settings,
    load_generator,
    with_logit_bias,
)
from nanochat_framework.errors import UsageError

if TYPE_CHECKING:
    from nanochat_framework.data.tokenizer import Tokenizer
    from nanochat_framework.inference.continuation import Completion
    from nanochat_framework.inference.engine import TextGenerator
    from nanochat_framework.inference.logprobs import TokenLogprob
    from nanochat_framework.inference.settings import GenerationSettings

HELP = "go on from prompts, once"

EXAMPLES = """\
examples:
  nanochat generate first --prompt "import os"
  nanochat generate model.gguf --prompt "def read(path):" -m 80 -t 0.7 --top-k 40 --seed 1
  cat story.txt | nanochat generate first --prompt - --stop "The end"
  nanochat generate first --prompt "Once" --prompt "Twice" --samples 3 --json
  nanochat generate first --prompts-file prompts.txt --batch-size 16 --jsonl > texts.jsonl
  nanochat generate first --requests < requests.jsonl

MODEL is a run, a checkpoint folder, or a .gguf file. Text goes to stdout, speed to stderr. One text is shown as it is
made; several are made together, and come in the order of their prompts.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--prompt", action="append", default=[], metavar="TEXT", help="text to go on from; - reads stdin (repeatable)"
    )
    parser.add_argument(
        "--prompts-file",
        type=Path,
        metavar="FILE",
        help='a prompt a line; of a .jsonl file each line is a string or has a "prompt"',
    )
    parser.add_argument(
        "--samples", type=int, default=1, metavar="N", help="texts from each prompt, seeds SEED, SEED+1, ..."
    )
    parser.add_argument(
        "--batch-size", type=int, default=8, metavar="N", help="texts that are made at a time (default 8)"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="one array of records, at the end")
    output.add_argument("--jsonl", action="store_true", help="one record a line, each as soon as its turn has come")
    output.add_argument(
        "--requests",
        action="store_true",
        help="for programs: stay, read JSON requests from stdin, a line each, and stream the answers as JSON lines",
    )
    parser.add_argument(
        "--logprobs",
        type=int,
        metavar="N",
        help="with --json or --jsonl: log-probabilities of the drawn tokens and of the N likeliest",
    )
    add_model_options(parser)
    add_sampling_options(parser)


@dataclass(frozen=True)
class Text:
    """One text that was asked for and made."""

    prompt: Prompt
    prompt_index: int
    sample: int
    settings: GenerationSettings
    completion: Completion


def run(arguments: argparse.Namespace) -> int:
    """Check everything that can be checked before the model is loaded; then generate and show."""
    for option in ("samples", "batch_size"):
        if getattr(arguments, option) < 1:
            flag = f"--{option.replace('_', '-')}"
            raise UsageError(f"{flag} must be at least 1, not {getattr(arguments, option)}")
    as_data = arguments.json or arguments.jsonl
    if arguments.logprobs is not None and not as_data:
        raise UsageError("--logprobs are written with --json or --jsonl only; add one of them")
    settings = generation_settings(arguments, logprobs=arguments.logprobs)
    if arguments.requests:
        return _serve(arguments, settings)
    prompts = read_prompts(arguments.prompt, arguments.prompts_file)
    generator, about = load_generator(arguments)
    settings = with_logit_bias(settings, arguments, generator.tokenizer)
    if len(prompts) * arguments.samples == 1 and not as_data:
        _stream(generator, prompts[0], settings)
        return 0
    texts = generate_all(generator, prompts, settings, arguments.samples, arguments.batch_size)
    if as_data:
        _write_records(texts, str(about["name"]), generator.tokenizer, lines=arguments.jsonl)
    else:
        _show_all(texts)
    return 0


def _serve(arguments: argparse.Namespace, settings: GenerationSettings) -> int:
    """Answer requests from stdin until it ends."""
    from nanochat_framework.cli.generate_requests import Service

    if arguments.prompt or arguments.prompts_file or arguments.samples != 1:
        raise UsageError("--requests takes its prompts from stdin; leave --prompt, --prompts-file and --samples out")
    generator, about = load_generator(arguments)
    return Service(generator, about, with_logit_bias(settings, arguments, generator.tokenizer)).run()


def generate_all(
    generator: TextGenerator, prompts: list[Prompt], settings: GenerationSettings, samples: int, batch_size: int
) -> Iterator[Text]:
    """Every sample of every prompt, `batch_size` at a time; yielded in order, each as soon as it is made.

    The n-th sample of each prompt has the n-th seed. Raises UsageError, naming the prompt, where one cannot be read.
    """
    from nanochat_framework.inference.batch import BatchGenerator

    batch = BatchGenerator(generator, batch_size)
    asked = []
    for index, prompt in enumerate(prompts):
        for sample in range(samples):
            own = replace(settings, sampling=replace(settings.sampling, seed=settings.sampling.seed + sample))
            try:
                continuation = batch.add(generator.prompt(prompt.text), own)
            except UsageError as error:
                raise UsageError(f"{prompt.where}: {error}" if prompt.where else str(error)) from None
            asked.append((Text(prompt, index, sample, own, continuation.completion), continuation))
    for text, continuation in asked:
        while not continuation.finished:
            batch.step()
        yield text


def _stream(generator: TextGenerator, prompt: Prompt, settings: GenerationSettings) -> None:
    completion = generator.generate(
        generator.prompt(prompt.text), settings, on_text=lambda piece: print(piece, end="", flush=True)
    )
    print(flush=True)
    _report(completion, "")


def _show_all(texts: Iterator[Text]) -> None:
    started, n_texts, n_tokens = time.perf_counter(), 0, 0
    for text in texts:
        print(text.completion.text, flush=True)
        _report(text.completion, f"prompt {text.prompt_index + 1}, sample {text.sample + 1}: ")
        n_texts, n_tokens = n_texts + 1, n_tokens + len(text.completion.tokens)
    seconds = time.perf_counter() - started
    print(f"together: {n_texts} texts, {n_tokens} tokens, {n_tokens / seconds:.1f} tokens/s", file=sys.stderr)


def _report(completion: Completion, which: str) -> None:
    """The speed of a text, on stderr."""
    speed = f"{len(completion.tokens)} tokens, {completion.tokens_per_second:.1f} tokens/s"
    prompt = f"prompt {completion.prompt_tokens} tokens"
    print(f"{which}{speed} ({prompt}), ended by {completion.finish_reason}", file=sys.stderr)


def _write_records(texts: Iterator[Text], name: str, tokenizer: Tokenizer, *, lines: bool) -> None:
    import json

    records = (_record(name, text, tokenizer) for text in texts)
    if lines:
        for record in records:
            print(json.dumps(record), flush=True)
    else:
        print(json.dumps(list(records), indent=1))


def _record(name: str, text: Text, tokenizer: Tokenizer) -> dict[str, Any]:
    completion = text.completion
    record = {
        "model": name,
        "prompt": text.prompt.text.decode("utf-8", "replace"),
        "prompt_index": text.prompt_index,
        "sample": text.sample,
        "text": completion.text,
        "tokens": completion.tokens,
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "seed": text.settings.sampling.seed,
        "prompt_seconds": round(completion.prompt_seconds, 6),
        "tokens_per_second": round(completion.tokens_per_second, 2),
    }
    if text.settings.logprobs is None:
        return record

    def entry(token: TokenLogprob) -> dict[str, Any]:
        spelled = tokenizer.decode([token.token])
        return {"token": token.token, "text": spelled, "logprob": round(token.logprob, 6)}

    logprobs = [{**entry(drawn), "top": [entry(each) for each in drawn.top]} for drawn in completion.logprobs]
    return {**record, "logprobs": logprobs}
