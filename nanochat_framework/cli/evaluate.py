"""`nanochat eval`: score a trained model."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from nanochat_framework.cli.common import load_host
from nanochat_framework.cli.device_options import add_device_arguments
from nanochat_framework.cli.open_model import add_weights_option, open_model
from nanochat_framework.errors import UsageError

HELP = "score a model on held-out text and tasks"

EXAMPLES = """\
examples:
  nanochat eval first --tasks bpb --data data
  nanochat eval model.gguf --tasks bpb --data data --json

MODEL is a run, a checkpoint folder, or a .gguf file. `nanochat components list evaluation` shows the tasks.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("model", help="a run, a checkpoint folder, or a file such as model.gguf")
    parser.add_argument("--tasks", default="bpb", metavar="A,B", help="evaluations to run (default bpb)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data folder (default: the one it was trained on)")
    add_weights_option(parser)
    parser.add_argument("--runs-dir", type=Path, metavar="DIR", help="where runs live (default ./runs)")
    add_device_arguments(parser)
    parser.add_argument("--json", action="store_true", help="scores as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Load the model once, run every task, print a table."""
    from nanochat_framework.cli.device_options import prepare_device
    from nanochat_framework.cli.progress import stage
    from nanochat_framework.contracts.evaluation import Subject
    from nanochat_framework.inference.bundle import model_from_bundle
    from nanochat_framework.plugins.settings import named

    host = load_host()
    names = [name.strip() for name in arguments.tasks.split(",") if name.strip()]
    if not names:
        raise UsageError(
            f"--tasks {arguments.tasks!r}: name one or more of: {', '.join(host.registry.names('evaluation'))}"
        )
    tasks = [named(host.registry, "evaluation", name, "--tasks") for name in names]
    device = prepare_device(arguments, host.registry)
    stage(f"reading {arguments.model}")
    bundle = open_model(arguments.model, arguments, host.registry)
    data = arguments.data or bundle.metadata.get("data_dir")
    subject = Subject(
        model_from_bundle(bundle, device=device),
        bundle.tokenizer,
        Path(data) if data else None,
        document_attention=bool(bundle.metadata.get("document_attention")),
    )
    results: dict[str, Any] = {}
    for task in tasks:
        stage(task.name)
        started = time.perf_counter()
        scores = task.load_factory()(task.config_class()()).run(subject)
        print(f"{task.name}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
        results[task.name] = scores
    print(_as_json(results) if arguments.json else _as_table(results))
    return 0


def _as_json(results: dict[str, Any]) -> str:
    from dataclasses import asdict

    return json.dumps({task: {name: asdict(s) for name, s in scores.items()} for task, scores in results.items()})


def _as_table(results: dict[str, Any]) -> str:
    rows = []
    for scores in results.values():
        for name, score in scores.items():
            error = "" if score.standard_error is None else f" ± {score.standard_error:.3f}"
            rows.append((name, f"{score.value:.3f}{error} {score.unit}"))
            rows += [(f"  {baseline}", f"{value:.3f} {score.unit}") for baseline, value in score.baselines.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
