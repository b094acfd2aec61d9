"""Trackers: a run's metrics and texts in TensorBoard, Weights & Biases, or one table."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.tracker(
        "tensorboard",
        config=".config:TensorBoardConfig",
        factory=".tensorboard_files:build_tensorboard",
        summary="Event files for TensorBoard: scalars, texts, the configuration",
    )
    registrar.tracker(
        "wandb",
        config=".config:WandbConfig",
        factory=".wandb_run:build_wandb",
        summary="A run of Weights & Biases, kept on this machine unless it is told to go online",
    )
    registrar.tracker(
        "csv",
        config=".config:CsvConfig",
        factory=".csv_file:build_csv",
        summary="One table with a row a step and a column a metric, for a spreadsheet",
    )
