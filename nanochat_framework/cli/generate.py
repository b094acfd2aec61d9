"""`nanochat generate`: text from a prompt, once."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanochat_framework.inference.engine import Completion, GenerationSettings, TextGenerator

HELP = "go on from a prompt, once"

EXAMPLES = """\
examples:
  nanochat generate first --prompt "import os"
  nanochat generate model.gguf --prompt "def read(path):" --max-tokens 80 --temperature 0.7 --top-k 40 --seed 1
  cat story.txt | nanochat generate first --prompt - --stop "The end"
  nanochat generate first --prompt "Once" --samples 3 --json

MODEL is a run, a checkpoint folder, or a .gguf file. Text goes to stdout as it is made, speed to stderr.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("model", help="a run, a checkpoint folder, or a file such as model.gguf")
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="text to go on from; - reads it from stdin")
    parser.add_argument("--max-tokens", type=int, default=256, metavar="N", help="tokens at most (default 256)")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="T", help="0 is greedy (default 0.8)")
    parser.add_argument(
        "--top-k", type=int, default=40, metavar="K", help="draw from the K likeliest; 0: all (default 40)"
    )
    parser.add_argument(
        "--top-p", type=float, default=1.0, metavar="P", help="draw from the likeliest P (default 1: all)"
    )
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this text (repeatable)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draws the same tokens again (default 0)")
    parser.add_argument(
        "--samples", type=int, default=1, metavar="N", help="texts from the prompt, seeds SEED, SEED+1, ..."
    )
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="where it runs (default auto)"
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads; 0 takes all cores (default)")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each text")
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs live (default ./runs)")


def run(arguments: argparse.Namespace) -> int:
    """Load the model, read the prompt once, generate each sample from it."""

    from nanochat_framework.errors import UsageError
    from nanochat_framework.inference.prefix import read_prompt

    for option, least in (("samples", 1), ("threads", 0)):
        if getattr(arguments, option) < least:
            raise UsageError(f"--{option} must be at least {least}, not {getattr(arguments, option)}")
    settings = [_settings(arguments, arguments.seed + number) for number in range(arguments.samples)]
    prompt = _prompt(arguments.prompt)
    generator, name = _load(arguments)
    ids = generator.prompt(prompt)
    prefix = read_prompt(generator.model, ids) if arguments.samples > 1 else ids
    for number, each in enumerate(settings):
        completion = generator.generate(prefix, each, on_text=None if arguments.json else _show)
        if arguments.json:
            print(_as_json(name, prompt, each, completion), flush=True)
        else:
            _finish(completion, f"sample {number + 1} of {len(settings)}: " if len(settings) > 1 else "")
    return 0


def _load(arguments: argparse.Namespace) -> tuple[TextGenerator, str]:
    """The model on its device, with its tokenizer, and its name."""
    import torch

    from nanochat_framework.cli.common import load_host
    from nanochat_framework.errors import UsageError
    from nanochat_framework.inference.bundle import bundle_from, model_from_bundle
    from nanochat_framework.inference.engine import TextGenerator
    from nanochat_framework.kernels.table import KernelTable, activate
    from nanochat_framework.training.setup import choose_device

    device, registry = choose_device(arguments.device), load_host().registry
    activate(KernelTable(registry))
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    bundle = bundle_from(arguments.model, registry, runs_dir=arguments.runs_dir)
    if bundle.tokenizer is None:
        raise UsageError(f"{arguments.model}: has no tokenizer of ours (synthetic data, or a foreign file), so no text")
    model = model_from_bundle(bundle, device=device)
    return TextGenerator(model, bundle.tokenizer), str(bundle.metadata.get("name"))


def _settings(arguments: argparse.Namespace, seed: int) -> GenerationSettings:
    from nanochat_framework.inference.engine import GenerationSettings
    from nanochat_framework.inference.sampling import Sampling

    sampling = Sampling(temperature=arguments.temperature, top_k=arguments.top_k, top_p=arguments.top_p, seed=seed)
    return GenerationSettings(max_tokens=arguments.max_tokens, sampling=sampling, stop=tuple(arguments.stop))


def _prompt(text: str) -> bytes:
    """The bytes that were typed or piped in, UTF-8 or not."""
    import os

    return sys.stdin.buffer.read() if text == "-" else os.fsencode(text)


def _show(piece: str) -> None:
    print(piece, end="", flush=True)


def _finish(completion: Completion, sample: str) -> None:
    """End a text: a newline after it, the speed on stderr."""
    print(flush=True)
    speed = f"{len(completion.tokens)} tokens, {completion.tokens_per_second:.1f} tokens/s"
    prompt = f"prompt {completion.prompt_tokens} tokens"
    print(f"{sample}{speed} ({prompt}), ended by {completion.finish_reason}", file=sys.stderr)


def _as_json(name: str, prompt: bytes, settings: GenerationSettings, completion: Completion) -> str:
    import json

    record = {
        "model": name,
        "prompt": prompt.decode("utf-8", "replace"),
        "text": completion.text,
        "tokens": completion.tokens,
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "seed": settings.sampling.seed,
        "prompt_seconds": round(completion.prompt_seconds, 6),
        "tokens_per_second": round(completion.tokens_per_second, 2),
    }
    return json.dumps(record)
