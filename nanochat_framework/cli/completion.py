"""`nanochat completion`: the script that makes Tab complete nanochat in a shell."""

from __future__ import annotations

import argparse

HELP = "print the script that makes Tab complete nanochat in bash, zsh or fish"

EXAMPLES = """\
examples:
  nanochat completion bash >> ~/.bashrc
  nanochat completion zsh > "${fpath[1]}/_nanochat"
  nanochat completion fish > ~/.config/fish/completions/nanochat.fish
  eval "$(nanochat completion bash)"              (for this shell alone)

Commands, options, presets, runs, names of components, and the keys of --set are completed as they are at that moment; what the
script asks for answers is the `nanochat` on your PATH.
"""
SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=SHELLS, help="which shell")


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["nanochat"], shell=arguments.shell), end="")
    return 0
