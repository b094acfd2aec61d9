"""What the loader costs: building a plan, and making a step's batches on one thread.

    python benchmarks/data_loading.py [--tokens 100000000]

Tokens are random, document lengths log-normal around 300 tokens, as short texts have them. A step is 32 sequences of
2048 tokens.
"""

from __future__ import annotations

import argparse
from time import perf_counter
from typing import Any

import numpy as np

from nanochat_framework.config.phases import Phase
from nanochat_framework.data.loader import batch
from nanochat_framework.data.plan import LoaderPlan, TokenStream

SEQ_LEN, ROWS, STEPS = 2048, 32, 200
USUAL = [Phase(0, 10**6, SEQ_LEN, ROWS)]
MIXED = [Phase(0, 10**6, SEQ_LEN, ROWS, weights=(2.0, 1.0))]
CURRICULUM = [Phase(0, 300, SEQ_LEN // 4, 4 * ROWS, difficulty="length"), Phase(300, 10**6, SEQ_LEN, ROWS)]


def stream(label: str, n_tokens: int, seed: int) -> TokenStream:
    """A source of random tokens."""
    random = np.random.default_rng(seed)
    lengths = random.lognormal(5.7, 1.0, size=n_tokens // 300).astype(np.int64) + 2
    starts = np.cumsum(lengths) - lengths
    return TokenStream(label, random.integers(0, 32768, int(lengths.sum()), dtype=np.uint32), starts)


def measure(name: str, streams: list[TokenStream], phases: list[Phase], **options: Any) -> str:
    """A line of the table."""
    started = perf_counter()
    plan = LoaderPlan(streams, phases, **options)
    built = perf_counter() - started
    batch(plan, 0)
    started = perf_counter()
    made = [batch(plan, step) for step in range(1, 1 + STEPS)]
    seconds = (perf_counter() - started) / STEPS
    filled = sum(int((each.targets >= 0).sum()) for each in made) / sum(each.targets.numel() for each in made)
    return f"| {name} | {built:.2f} | {1000 * seconds:.2f} | {ROWS * SEQ_LEN / seconds / 1e6:.0f} | {filled:.2%} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=100_000_000)
    n_tokens = parser.parse_args().tokens
    one, two = stream("one", n_tokens, 0), stream("two", n_tokens // 2, 1)
    print("| plan | built in s | ms a step | million tokens/s | predicted |\n|---|---|---|---|---|")
    print(measure("windows of one source", [one], USUAL))
    print(measure("the same, documents apart", [one], USUAL, document_attention=True))
    print(measure("two sources 2 : 1", [one, two], MIXED))
    print(measure("short and easy first", [one], CURRICULUM))
    print(measure("whole documents", [one], USUAL, packing="documents"))
    print(measure("whole documents, apart", [one], USUAL, packing="documents", document_attention=True))


if __name__ == "__main__":
    main()
