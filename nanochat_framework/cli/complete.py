"""`nanochat complete`: type a text, see the model go on from it, again and again."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from nanochat_framework.cli.text_console import TextConsole
from nanochat_framework.cli.text_options import (
    add_model_options,
    add_sampling_options,
    generation_settings,
    load_generator,
    with_logit_bias,
)
from nanochat_framework.errors import UsageError

if TYPE_CHECKING:
    from nanochat_framework.inference.engine import TextGenerator
    from nanochat_framework.inference.settings import GenerationSettings

HELP = "go on from texts as you type them"

EXAMPLES = """\
examples:
  nanochat complete first
  nanochat complete model.gguf --device-type cpu -t 0.5 -m 200
  printf 'import os\\n###\\nclass A:\\n' | nanochat complete first -m 20

MODEL is a run, a checkpoint folder, or a .gguf file. Type a text, of any number of lines, then ### on a line of its own.
Ctrl-C stops a completion, or forgets what was typed; Ctrl-D, exit or quit leaves. Through a pipe the end of the input
completes what is left, and the completions alone are written. The n-th completion has the seed SEED + n - 1.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_options(parser)
    add_sampling_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Load the model once; then read, complete, and read again."""
    settings = generation_settings(arguments)
    generator, about = load_generator(arguments)
    settings = with_logit_bias(settings, arguments, generator.tokenizer)
    console = TextConsole()
    console.note(f"{about['name']}: type a text, then ### on a line of its own; Ctrl-C stops, Ctrl-D or exit leaves")
    while (text := console.read()) is not None:
        _complete(generator, text, settings, console)
        sampling = replace(settings.sampling, seed=(settings.sampling.seed + 1) % 2**63)
        settings = replace(settings, sampling=sampling)
    return 0


def _complete(generator: TextGenerator, text: bytes, settings: GenerationSettings, console: TextConsole) -> None:
    """Show one completion as it is made. On a terminal, Ctrl-C ends it and a prompt that is too long is a note."""
    try:
        stream = generator.stream(generator.prompt(text), settings)
        console.begin(text)
        for piece in stream:
            console.show(piece)
    except UsageError as error:
        if not console.interactive:
            raise
        console.note(f"error: {error}")
        return
    except KeyboardInterrupt:
        if not console.interactive:
            raise
        console.end("stopped")
        return
    done = stream.completion
    speed = f"{len(done.tokens)} tokens, {done.tokens_per_second:.1f} tokens/s"
    console.end(f"{speed} (prompt {done.prompt_tokens} tokens), ended by {done.finish_reason}")
