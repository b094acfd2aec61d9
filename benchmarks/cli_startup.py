"""CPU time of commands that do not compute, over a bare interpreter: user + system milliseconds, medians, interleaved.

python benchmarks/cli_startup.py [--runs 15] [--json]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys

NANOCHAT = [sys.executable, "-m", "nanochat_framework"]
COMMANDS: dict[str, tuple[list[str], float]] = {
    "bare interpreter": ([sys.executable, "-c", "pass"], 0.0),
    "--help": ([*NANOCHAT, "--help"], 100.0),
    "plugins list": ([*NANOCHAT, "plugins", "list"], 150.0),
    "config check": ([*NANOCHAT, "config", "check", "tiny-cpu"], 250.0),
    "plan": ([*NANOCHAT, "plan", "tiny-cpu"], 350.0),
}
"""Command and its budget in milliseconds over the bare interpreter."""


def cpu_ms(command: list[str]) -> float:
    """User and system time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    samples: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(arguments.runs):
        for name, (command, _budget) in COMMANDS.items():
            samples[name].append(cpu_ms(command))
    medians = {name: statistics.median(values) for name, values in samples.items()}
    over = {name: medians[name] - medians["bare interpreter"] for name in COMMANDS}
    if arguments.json:
        print(json.dumps({"cpu_ms": medians, "over_bare_ms": over}))
        return 0
    for name, (_, budget) in COMMANDS.items():
        print(f"{name:<17} {medians[name]:6.0f} ms   over bare {over[name]:5.0f} ms   budget {budget:4.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
