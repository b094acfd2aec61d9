"""The options of commands that generate text: which model, where it runs, how tokens are drawn."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanochat_framework.cli.common import load_host
from nanochat_framework.cli.device_options import add_device_arguments, prepare_device
from nanochat_framework.cli.open_model import add_weights_option, open_model
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.settings import LARGEST_BIAS, GenerationSettings, SamplingSettings, SettingError

if TYPE_CHECKING:
    from nanochat_framework.data.tokenizer import Tokenizer
    from nanochat_framework.inference.engine import TextGenerator


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the model and where it runs."""
    parser.add_argument("model", help="a run, a checkpoint folder, or a file such as model.gguf")
    add_weights_option(parser)
    group = parser.add_argument_group("where it runs")
    add_device_arguments(group)
    group.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs live (default ./runs)")


@dataclass(frozen=True)
class NumberOption:
    """A setting that is a number: its field in `SamplingSettings` or `GenerationSettings`, and how it is typed."""

    name: str
    type: type[int] | type[float]
    default: int | float
    metavar: str
    help: str
    short: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """`--like-this`."""
        return f"--{self.name.replace('_', '-')}"


MAX_TOKENS = NumberOption("max_tokens", int, 256, "N", "tokens at most", ("-m",))
SEED = NumberOption("seed", int, 0, "N", "draws the same tokens again")
SAMPLING = (
    NumberOption(
        "repetition_penalty", float, 1.0, "X", "above 1: tokens of the prompt or the text so far are less likely"
    ),
    NumberOption("frequency_penalty", float, 0.0, "X", "-2 to 2, taken off a token's score for each time it was drawn"),
    NumberOption("presence_penalty", float, 0.0, "X", "-2 to 2, taken off a token's score if it was drawn at all"),
    NumberOption("temperature", float, 0.8, "T", "0 is greedy", ("-t",)),
    NumberOption("min_p", float, 0.0, "P", "leave out tokens less than P times as likely as the likeliest; 0: none"),
    NumberOption("top_k", int, 40, "K", "draw from the K likeliest; 0: all"),
    NumberOption("top_p", float, 1.0, "P", "draw from the likeliest P; 1: all"),
)
"""In the order in which they apply."""


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """Add how the text is drawn and where it ends."""
    group = parser.add_argument_group("how text is drawn", "in the order in which they apply; docs/generation.md")
    _add_number(group, MAX_TOKENS)
    group.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this text (repeatable)")
    _add_number(group, SEED)
    group.add_argument(
        "--logit-bias",
        action="append",
        type=_bias,
        default=[],
        metavar="TOKEN=BIAS",
        help="add -100 to 100 to the score of a token, given by its id or its text (repeatable)",
    )
    for option in SAMPLING:
        _add_number(group, option)


def _add_number(group: argparse._ArgumentGroup, option: NumberOption) -> None:
    group.add_argument(
        *option.short,
        option.flag,
        type=option.type,
        default=option.default,
        metavar=option.metavar,
        help=f"{option.help} (default {option.default:g})",
    )


def _bias(text: str) -> tuple[str, float]:
    """`TOKEN=BIAS` as a pair; the last `=` divides."""
    token, divider, bias = text.rpartition("=")
    try:
        value = float(bias)
    except ValueError:
        value = float("nan")
    if not token or not divider or not abs(value) <= LARGEST_BIAS:
        least, most = -LARGEST_BIAS, LARGEST_BIAS
        raise argparse.ArgumentTypeError(f"{text!r}: say TOKEN=BIAS, with a bias between {least:g} and {most:g}")
    return token, value


def generation_settings(arguments: argparse.Namespace, *, logprobs: int | None = None) -> GenerationSettings:
    """The settings but for `--logit-bias`, checked before anything is loaded. Raises UsageError with the flag's name."""
    try:
        sampling = SamplingSettings(**{option.name: getattr(arguments, option.name) for option in (*SAMPLING, SEED)})
        return GenerationSettings(arguments.max_tokens, sampling, tuple(arguments.stop), logprobs=logprobs)
    except SettingError as error:
        raise UsageError(f"--{error.setting.replace('_', '-')} {error.fault}") from None


def with_logit_bias(
    settings: GenerationSettings, arguments: argparse.Namespace, tokenizer: Tokenizer
) -> GenerationSettings:
    """The settings with `--logit-bias`, whose texts the tokenizer knows. Raises UsageError where it does not."""
    bias = {_token(text, tokenizer): value for text, value in arguments.logit_bias}
    return replace(settings, sampling=replace(settings.sampling, logit_bias=bias)) if bias else settings


def _token(text: str, tokenizer: Tokenizer) -> int:
    """The id that a person means: an id, a special token's name, or the text of one token."""
    if text.isascii() and text.isdigit():
        if int(text) >= tokenizer.vocab_size:
            raise UsageError(f"--logit-bias {text}: there is no such token; ids are 0 to {tokenizer.vocab_size - 1}")
        return int(text)
    if text in tokenizer.special_ids:
        return tokenizer.special(text)
    ids = tokenizer.encode(os.fsencode(text))
    if len(ids) != 1:
        parts = ", ".join(f"{token} {tokenizer.decode([token])!r}" for token in ids)
        raise UsageError(f"--logit-bias {text!r}: this is {len(ids)} tokens ({parts}); give the id of one")
    return ids[0]


def load_generator(arguments: argparse.Namespace) -> tuple[TextGenerator, dict[str, Any]]:
    """The model on its device with its tokenizer, and what is known of it: its "name", ... Raises UsageError without it."""
    from nanochat_framework.inference.bundle import model_from_bundle
    from nanochat_framework.inference.engine import TextGenerator

    registry = load_host().registry
    device = prepare_device(arguments, registry)
    bundle = open_model(arguments.model, arguments, registry)
    if bundle.tokenizer is None:
        reason = bundle.metadata.get("without_tokenizer", "it was trained on synthetic tokens")
        raise UsageError(f"{arguments.model}: has no tokenizer, so no text ({reason})")
    model = model_from_bundle(bundle, device=device)
    return TextGenerator(model, bundle.tokenizer), dict(bundle.metadata)
