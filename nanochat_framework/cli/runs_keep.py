"""`nanochat runs tag|alias|rm`: put runs in order."""

from __future__ import annotations

import argparse
import sys

from nanochat_framework.cli.common import confirm, print_json, runs_named
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.alias import set_alias
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.removal import check_removable, folder_size, remove
from nanochat_framework.runs.tags import change_tags, read_tags


def run(arguments: argparse.Namespace) -> int:
    """Tag, give another name, or remove."""
    return {"tag": _tag, "alias": _alias, "rm": _remove}[arguments.action](arguments)


def _tag(arguments: argparse.Namespace) -> int:
    target = RunDirectory.find(arguments.runs_dir, arguments.run)
    changes = arguments.add or arguments.remove
    tags = change_tags(target, arguments.add, arguments.remove) if changes else read_tags(target)
    if arguments.json:
        print_json(tags)
    else:
        for tag in tags:
            print(tag)
    return 0


def _alias(arguments: argparse.Namespace) -> int:
    target = RunDirectory.find(arguments.runs_dir, arguments.run)
    if arguments.remove and arguments.alias is not None:
        raise UsageError("--remove takes the alias away; give no other one with it")
    if arguments.remove or arguments.alias is not None:
        set_alias(target, arguments.alias)
    if arguments.json:
        print_json(target.alias)
    elif target.alias:
        print(target.alias)
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    runs = runs_named(arguments.runs, arguments.runs_dir)
    for each in runs:  # before anything is removed
        check_removable(each)
    if not arguments.yes and not _confirmed(runs):
        print("nothing was removed", file=sys.stderr)
        return 0
    for each in runs:
        remove(each)
        print(f"removed {each.path}", file=sys.stderr)
    return 0


def _confirmed(runs: list[RunDirectory]) -> bool:
    size = sum(folder_size(each.path) for each in runs)
    names = ", ".join(each.name for each in runs)
    return confirm(f"remove {names} with all checkpoints ({size / 1e6:,.0f} MB)?")
