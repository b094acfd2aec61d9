"""A trained model as data, wherever it lies: a run, a checkpoint folder, or a file that an importer reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanochat_framework.config.load import owners_of_missing
from nanochat_framework.config.quantization import unfinished_warmups
from nanochat_framework.contracts.exporter import Importer, ModelBundle
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import ConfigError, Problem, UsageError
from nanochat_framework.inference.tables import select_model, select_quantizers
from nanochat_framework.model import roles
from nanochat_framework.model.build import build_model
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.model.weight import QuantizableWeight, for_each_weight
from nanochat_framework.plugins.component import Component
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.plugins.settings import configured
from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.runs.directory import RunDirectory, default_runs_dir
from nanochat_framework.training.checkpoint import AVERAGE, META, MODEL, read_meta, read_tensors

CHECKPOINTS = "checkpoints"
TRAINED, EMA = "trained", "ema"
"""Which weights of a checkpoint: those that training went on with, or their running average."""


def bundle_from(
    target: Path | str,
    registry: Registry,
    *,
    runs_dir: Path | None = None,
    options: Mapping[str, Any] | None = None,
    weights: str = TRAINED,
) -> ModelBundle:
    """Find and read the model that a person named: a path, or the name of a run under `runs_dir` (default: ./runs).

    A path is a run, a checkpoint, or a file or folder that an importer reads, with `options` as the importer's settings.

    Of a run, the best checkpoint by held-out loss is taken, else the final one, else the newest whole one. `weights` is
    TRAINED, or EMA for the average of a checkpoint whose training kept one. Raises UsageError, saying what was looked
    for, where there is nothing to read.
    """
    path = Path(target)
    importer = _importer_of(path, registry, options or {})
    if importer is not None:
        if weights == EMA:
            raise UsageError(
                f"{target}: a model file has no averaged weights beside its own; name a run or a checkpoint"
            )
        return importer.load(path, registry)
    if options:
        raise UsageError(f"{target}: no importer reads this, so it takes no options ({', '.join(options)})")
    if (path / META).is_file():
        return bundle_from_checkpoint(path, registry, weights)
    if not (path / CHECKPOINTS).is_dir():
        try:
            path = RunDirectory.find(runs_dir or default_runs_dir(), str(target)).path
        except UsageError as error:
            what = f"a folder without {META} or {CHECKPOINTS}/" if path.is_dir() else "no such file or folder"
            raise UsageError(f"no model {str(target)!r}: {what}, and {error}") from None
    return _read_checkpoint(checkpoint_of_run(path), registry, weights)


def checkpoint_of_run(run: Path) -> Path:
    """The checkpoint that stands for a run. Raises UsageError if it has no whole one."""
    store = CheckpointStore(run / CHECKPOINTS)
    for name in ("best", "final"):
        folder = store.root / name
        if folder.is_dir() and not store.verify(folder):
            return folder
    newest = store.latest()
    if newest is None:
        raise UsageError(f"{run}: has no whole checkpoint yet")
    return newest


def bundle_from_checkpoint(path: Path, registry: Registry, weights: str = TRAINED) -> ModelBundle:
    """Read a checkpoint; what training quantised becomes codes and scales, by the same quantizer, once.

    Raises UsageError for a folder that is no whole checkpoint or has no such weights, or whose components are not
    installed.
    """
    path = path.absolute()
    problems = CheckpointStore.verify(path)
    if problems:
        raise UsageError(f"{path}: not a whole checkpoint: {problems[0]}")
    return _read_checkpoint(path, registry, weights)


def _read_checkpoint(path: Path, registry: Registry, weights: str) -> ModelBundle:
    meta = read_meta(path)
    if weights == EMA and not (path / AVERAGE).is_file():
        raise UsageError(f"{path}: has no averaged weights; training keeps them where train.ema_decay is set")
    config = meta.get("config")
    if not isinstance(config, dict) or "model" not in config:
        raise UsageError(f"{path / META}: holds no configuration; the checkpoint is damaged")
    try:
        selected = select_model(config["model"], f"{path / META}: model", registry)
        rules = select_quantizers(config.get("quantizer", []), f"{path / META}: quantizer", registry)
    except ConfigError as error:
        gone = (Problem(str(path / META), "", line) for line in owners_of_missing(str(error), meta.get("components")))
        raise ConfigError((*error.problems, *gone), exit_code=error.exit_code) from None
    model = build_model(selected, rules)
    scored = weights == TRAINED and not unfinished_warmups(rules, int(meta.get("step", 0)))
    _load(model, read_tensors(path / (AVERAGE if weights == EMA else MODEL)), path)
    tokenizer = path / "tokenizer.json"
    return ModelBundle(
        model=selected,
        quantizers=rules,
        description=selected.config.describe(),
        tensors=tensors_of(model),
        tokenizer=Tokenizer.load(tokenizer) if tokenizer.is_file() else None,
        metadata=_metadata(path, meta, scored=scored),
    )


@torch.no_grad()
def tensors_of(model: LanguageModel) -> dict[str, Tensor | QuantizedWeight]:
    """A model's tensors by name as exporters see them: codes and scales where it is quantised.

    Learned scales are those scales; as parameters they are left out.
    """
    tensors: dict[str, Tensor | QuantizedWeight] = {
        p.name: p.tensor.detach() for p in named_parameters(model) if p.role != roles.QUANTIZER_SCALE
    }

    def take_codes(name: str, module: QuantizableWeight) -> None:
        quantized = module.quantized()
        if quantized is not None:
            tensors[name] = quantized

    for_each_weight(model, take_codes)
    return tensors


def model_from_bundle(
    bundle: ModelBundle, *, precision: str = "fp32", device: torch.device | str = "cpu"
) -> LanguageModel:
    """The model, ready to generate: codes are used as they are, never made again.

    Raises UsageError if the bundle's tensors are not those of its model.
    """
    model = build_model(bundle.model, bundle.quantizers, precision=precision, device=device)
    modules: dict[str, QuantizableWeight] = {}
    for_each_weight(model, modules.__setitem__)
    values = {name: t.dequantize() if isinstance(t, QuantizedWeight) else t for name, t in bundle.tensors.items()}
    learned = {p.name: p.tensor.detach() for p in named_parameters(model) if p.role == roles.QUANTIZER_SCALE}
    _load(model, {**learned, **values}, bundle.metadata.get("name", "the model"))
    for name, tensor in bundle.tensors.items():
        if isinstance(tensor, QuantizedWeight) and name in modules:
            modules[name].freeze(tensor.to(device))
    return model.eval().requires_grad_(False)


def _load(model: LanguageModel, tensors: Mapping[str, Tensor], where: object) -> None:
    """Copy tensors into the parameters of the same names. Raises UsageError where they do not fit."""
    parameters = {p.name: p.tensor for p in named_parameters(model)}
    odd = sorted(set(tensors) ^ set(parameters))
    if odd:
        whose = "is not in the model" if odd[0] in tensors else "is missing"
        raise UsageError(f"{where}: its tensors are not those of the model it describes: {odd[0]} {whose}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            if tensor.shape != parameters[name].shape:
                shapes = f"{tuple(tensor.shape)}, the model has {tuple(parameters[name].shape)}"
                raise UsageError(f"{where}: {name} is {shapes}")
            parameters[name].copy_(tensor)


def _metadata(path: Path, meta: Mapping[str, Any], *, scored: bool) -> dict[str, Any]:
    """Plain facts about a checkpoint: where it is, how far it was trained, on what, and how well it predicts.

    `scored` says whether the model is the one that training evaluated: else its held-out scores are not told.
    """
    inside_run = path.parent.name == CHECKPOINTS
    facts = {fact: meta[fact] for fact in ("step", "tokens") if isinstance(meta.get(fact), int)}
    data = meta["config"].get("data", {})
    sources = [source for source in (data.get("source"), *data.get("sources", ())) if source]
    paths = [source["path"] for source in sources if isinstance(source.get("path"), str)]
    evaluation = meta.get("callbacks", {}).get("EvaluationCallback", {})
    template = meta.get("imported", {}).get("chat_template")
    of_these_weights = scored and evaluation.get("latest_step") == meta.get("step")
    return {
        "name": path.parent.parent.name if inside_run else path.name,
        "checkpoint": str(path),
        **facts,
        **({"data_dir": str(Path(paths[0]).parent)} if paths else {}),
        "data": [str(source.get("path", source.get("name"))) for source in sources],
        **({"document_attention": True} if data.get("document_attention") else {}),
        **({"chat_template": template} if template else {}),
        **({"held_out": evaluation["latest"]} if of_these_weights and evaluation.get("latest") else {}),
    }


def reader_of(exporter: str, registry: Registry) -> Component | None:
    """The importer that reads back what an exporter writes: the one of the same name; None if there is none."""
    return next((each for each in registry.components("importer") if each.name == exporter), None)


def _importer_of(path: Path, registry: Registry, options: Mapping[str, Any]) -> Importer | None:
    """What reads a file, by its suffix, or a folder that is none of ours, by the files in it; None if it is neither.

    Raises UsageError for a file that nothing reads or several do, and for options that the importer does not have.
    """
    importers = registry.components("importer")
    if path.is_file():
        found = [component for component in importers if path.suffix.lower() in component.traits["suffixes"]]
        if not found:
            known = ", ".join(suffix for component in importers for suffix in component.traits["suffixes"])
            raise UsageError(f"{path}: no importer reads {path.suffix or 'such'} files (known: {known or 'none'})")
    elif (path / META).is_file() or (path / CHECKPOINTS).is_dir():
        return None
    else:
        found = [c for c in importers if any((path / marker).is_file() for marker in c.traits["markers"])]
    if not found:
        return None
    if len(found) > 1:
        rivals = " and ".join(f"{c.name} of {c.distribution}" for c in found)
        raise UsageError(f"{path}: is read by {rivals}; leave one of them out (NANOCHAT_DISABLE_PLUGINS)")
    importer = found[0].load_factory()(configured(found[0], options))
    assert isinstance(importer, Importer)
    return importer
