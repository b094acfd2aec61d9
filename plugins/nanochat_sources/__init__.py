"""Where text and tokens come from."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.source(
        "text",
        config=".config:TextConfig",
        factory=".text:TextSource",
        summary="Files, folders and patterns on this machine; .jsonl and .parquet files by their rows",
        yields="documents",
        example=".example:text_files",
    )
    registrar.source(
        "jsonl",
        config=".config:JsonlConfig",
        factory=".jsonl:JsonlSource",
        summary="JSON lines, plain, .gz or .zst, whatever else the files are called",
        yields="documents",
        example=".example:json_lines",
    )
    registrar.source(
        "parquet",
        config=".config:ParquetConfig",
        factory=".parquet:ParquetSource",
        summary="Rows of Parquet files, whatever they are called",
        yields="documents",
        example=".example:parquet_rows",
    )
    registrar.source(
        "python_stdlib",
        config=".config:PythonStdlibConfig",
        factory=".python_stdlib:PythonStdlibSource",
        summary="The source of the running Python's standard library, without its tests",
        yields="documents",
        on_every_machine=True,
    )
    registrar.source(
        "tokens",
        config=".config:TokensConfig",
        factory=".tokens:PreparedTokens",
        summary="Token files made by `nanochat prepare-data`",
        yields="tokens",
        example=".example:token_files",
    )
    registrar.source(
        "synthetic",
        config=".config:SyntheticConfig",
        factory=".synthetic:SyntheticTokens",
        summary="Arithmetic sequences, for tests and timings without data",
        yields="tokens",
    )
