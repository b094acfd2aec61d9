"""The kinds of component there are, and the contract that each must meet."""

from __future__ import annotations

from dataclasses import dataclass

from nanochat_framework.errors import UsageError


@dataclass(frozen=True)
class Kind:
    """One kind of component. `contract` is the `module:object` a component's factory must return an instance of."""

    name: str
    contract: str
    summary: str


_CONTRACTS = "nanochat_framework.contracts"

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("model", f"{_CONTRACTS}.model:LanguageModel", "the whole network: embedding, blocks, head"),
        Kind("attention", f"{_CONTRACTS}.attention:Attention", "what mixes positions in a block"),
        Kind("ffn", f"{_CONTRACTS}.ffn:FeedForward", "what mixes channels in a block"),
        Kind("norm", f"{_CONTRACTS}.norm:Norm", "normalisation before each sub-layer and the head"),
        Kind("residual", f"{_CONTRACTS}.residual:Residual", "how sub-layer outputs join the stream"),
        Kind("objective", f"{_CONTRACTS}.objective:Objective", "a term of the loss beside cross-entropy"),
        Kind("token_filter", f"{_CONTRACTS}.objective:TokenFilter", "which tokens are learned from"),
        Kind("optimizer", f"{_CONTRACTS}.optimizer:Optimizer", "the update rule for a group of parameters"),
        Kind("schedule", f"{_CONTRACTS}.schedule:Schedule", "a hyperparameter's multiplier over the steps"),
        Kind("quantizer", f"{_CONTRACTS}.quantizer:Quantizer", "how weights and activations are rounded in training"),
        Kind("kernel", f"{_CONTRACTS}.kernel:Kernel", "a faster implementation of an operation of the core"),
        Kind("exporter", f"{_CONTRACTS}.exporter:Exporter", "writes a trained model in a file format"),
        Kind("importer", f"{_CONTRACTS}.exporter:Importer", "reads a model back from a file format"),
        Kind("source", f"{_CONTRACTS}.source:Source", "where text or tokens come from"),
        Kind("callback", f"{_CONTRACTS}.callback:Callback", "something done beside the training loop"),
        Kind("tracker", f"{_CONTRACTS}.tracker:Tracker", "where metrics go besides the run's folder"),
        Kind("evaluation", f"{_CONTRACTS}.evaluation:Evaluation", "a score of a trained model"),
    )
}


def check_kind(name: str) -> None:
    """Raises UsageError, with near names, if there is no such kind."""
    if name not in KINDS:
        import difflib

        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UsageError(f"there is no kind of component {name!r}{hint} Kinds: {', '.join(KINDS)}")
