"""What each architecture and training method learns from the same tokens: held-out bits per byte, speed, memory.

    python benchmarks/learning.py --data demo/data --steps 300 --output learning.jsonl

`tiny-cpu` and its variations, one seed, the same batches in the same order, a process each on one thread. Speed is in
tokens per second of processor time, which other work on the machine changes little; memory is the largest resident set of the
training process. Each variation appends one line to the output, and is passed over if its line is there already.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nanochat_framework.config.load import load_config
from nanochat_framework.planning.inventory import take_inventory
from nanochat_framework.planning.parameters import count_parameters
from nanochat_framework.plugins import load_plugins

GATED = '{name="gqa", n_heads=4, n_kv_heads=4, head_dim=64, qk_norm=true, output_gate=true}'
DELTANET = '{name="deltanet", n_heads=4, head_dim=64}'
WAYS: dict[str, tuple[str, ...]] = {
    "dense, float": ("quantizer=[]",),
    "dense, ternary": (),
    "ternary, mHC(2) static": ('model.residual={name="mhc"}',),
    "ternary, mHC(2) dynamic": ('model.residual={name="mhc", dynamic=true}',),
    "ternary, 4 future tokens": ('objective=[{name="mtp", n_future_tokens=4, weight=0.2, heads="tied"}]',),
    "ternary, hybrid 20 %": (f'model.attention={{name="hybrid", linear_ratio=0.2, full={GATED}, linear={DELTANET}}}',),
    "ternary, 2 of 8 experts": ('model.ffn={name="moe", n_experts=8, n_active=2, hidden_dim=256}',),
}
NANOCHAT = (sys.executable, "-m", "nanochat_framework")


def learn(way: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and score one variation."""
    sets = [*WAYS[way], f"train.steps={arguments.steps}", f"train.seed={arguments.seed}", 'hardware.device="cpu"']
    sets += ["hardware.threads=1", f"data.source.path={json.dumps(str(arguments.data / 'tokens.bin'))}"]
    sets += ["schedule.warmup_steps=20", "eval.every=100000"]
    config = load_config("tiny-cpu", registry=load_plugins().registry, overrides=sets).config
    count = count_parameters(take_inventory(config))
    with tempfile.TemporaryDirectory() as folder:
        options = [option for each in sets for option in ("--set", each)]
        child = subprocess.Popen(
            [*NANOCHAT, "train", "tiny-cpu", "--run", "r", "--runs-dir", folder, "--quiet", *options]
        )
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"{way}: training ended with status {status}")
        evaluate = ["eval", "r", "--runs-dir", folder, "--data", str(arguments.data), "--threads", "1", "--json"]
        done = subprocess.run([*NANOCHAT, *evaluate], check=True, capture_output=True, text=True)
    tokens = arguments.steps * config.train.batch_size * config.train.gradient_accumulation * config.data.seq_len
    return {
        "way": way,
        "seed": arguments.seed,
        "steps": arguments.steps,
        "parameters": count.total,
        "active": count.active,
        "bits_per_byte": json.loads(done.stdout)["bpb"]["eval/bits_per_byte"]["value"],
        "tokens_per_cpu_second": tokens / (usage.ru_utime + usage.ru_stime),
        "peak_bytes": usage.ru_maxrss * 1024,
    }


def table(lines: list[dict[str, Any]]) -> str:
    """One row a variation; bits per byte against the dense ternary model."""
    base = next((line["bits_per_byte"] for line in lines if line["way"] == "dense, ternary"), None)
    rows = [
        "| model | bits per byte | against dense ternary | parameters | active | tokens per CPU second | peak memory |"
    ]
    rows.append("|---|---|---|---|---|---|---|")
    for line in lines:
        against = "" if base is None else f"{line['bits_per_byte'] - base:+.4f}"
        rows.append(
            f"| {line['way']} | {line['bits_per_byte']:.4f} | {against} | {line['parameters']:,} | {line['active']:,} "
            f"| {line['tokens_per_cpu_second']:,.0f} | {line['peak_bytes'] / 1e6:,.0f} MB |"
        )
    return "\n".join(rows)


def main() -> None:
    """Train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare-data wrote")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    known = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    lines = [json.loads(line) for line in known]
    for way in WAYS:
        if any(line["way"] == way for line in lines):
            continue
        lines.append(learn(way, arguments))
        with arguments.output.open("a") as file:
            print(json.dumps(lines[-1]), file=file)
        print(f"{way}: {lines[-1]['bits_per_byte']:.4f} bits per byte", file=sys.stderr)
    print(table(lines))


if __name__ == "__main__":
    main()
