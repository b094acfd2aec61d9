"""Files that some components cannot do without, and the settings that name them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nanochat_framework.contracts.exporter import Exporter, ModelBundle
from nanochat_framework.inference.bundle import tensors_of
from nanochat_framework.model.build import build_model
from nanochat_framework.plugins import load_plugins
from nanochat_framework.testing import Subject
from nanochat_framework.testing.objective import VOCAB_SIZE

_FOLDER = TemporaryDirectory(prefix="nanochat-contracts-")  # removed when the process ends
FILES = Path(_FOLDER.name)


def _teacher() -> None:
    """A model of as many tokens as the suite's objectives are built for."""
    registry = load_plugins(environ={"NANOCHAT_LOAD_PLUGINS": ""}).registry
    model = Subject.of("model", "decoder", registry, {"vocab_size": VOCAB_SIZE}).selected()
    tensors = tensors_of(build_model(model, seed=3))
    bundle = ModelBundle(model, (), model.config.describe(), tensors, None, {"name": "teacher"})
    exporter: Exporter = Subject.of("exporter", "safetensors", registry).build()
    exporter.export(bundle, FILES / "teacher.safetensors")


_teacher()

SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("optimizer", "adamw_8bit"): {"compile": False},  # torch's compiler has its own tests, and takes its time
    ("objective", "distillation"): {"teacher": str(FILES / "teacher.safetensors")},
    ("objective", "entropy"): {"weight": -0.1},  # it is only measured otherwise
}
