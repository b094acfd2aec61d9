"""The folder of a run that is about to be trained. Torch-free."""

from __future__ import annotations

import sys
from pathlib import Path

from nanochat_framework.config.load import LoadedConfig, components_lock
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.runs.directory import RunDirectory, default_runs_dir


def new_run(loaded: LoadedConfig, config: RunConfig, runs_dir: Path | None, name: str | None) -> RunDirectory:
    """Make it. `config` is that of `loaded`, or one that was derived from it; raises as `RunDirectory.create` does."""
    return RunDirectory.create(
        runs_dir or default_runs_dir(),
        name,
        label=loaded.label,
        sources=[(str(layer.path), layer.source) for layer in reversed(loaded.layers)],
        resolved=config.to_dict(),
        components_lock=components_lock(config),
        overrides=list(loaded.overrides),
        argv=sys.argv,
    )
