"""What a configuration is told when it describes itself, and the methods that component configurations override."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where in the model a component stands.

    `prefix` goes before its parameter names (`blocks.0.attention.`), `dim` is the width of the stream, `layer` the
    block's index (None outside blocks), `n_layers` the number of blocks, `max_seq_len` the longest sequence in tokens.
    """

    prefix: str
    dim: int
    n_layers: int
    max_seq_len: int
    layer: int | None = None

    def at(self, part: str) -> Place:
        """The place of a part below this one: its prefix grows by `part.`."""
        return Place(f"{self.prefix}{part}.", self.dim, self.n_layers, self.max_seq_len, self.layer)

    def name(self, parameter: str) -> str:
        """Full name of a parameter here."""
        return self.prefix + parameter
