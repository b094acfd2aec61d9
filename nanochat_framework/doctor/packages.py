"""The packages we need, the extras one may add, and the plugins that are installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata

from nanochat_framework.doctor.finding import NOTE, OK, PROBLEM, Finding

OWN_DISTRIBUTION = "nanochat-framework"
"""Not taken from `nanochat_framework.plugins`, whose import fails where pluggy does: this module must say so."""
EXTRAS = {
    "data": "the fast encoder, Parquet files and .jsonl.zst in `nanochat prepare-data`",
    "huggingface": "`nanochat export --to huggingface --check`",
    "torchao": '[[optimizer]] name = "adamw_8bit" and its kin',
    "tensorboard": '[[tracker]] name = "tensorboard"',
    "wandb": '[[tracker]] name = "wandb"',
    "tui": "`nanochat tui`, the dashboard in the terminal",
    "web": "`nanochat tui --web`, the dashboard in a browser",
    "gpu": "readings of NVIDIA GPUs beside the metrics",
    "testing": "the contract suite, for authors of plugins",
}
"""Extra -> what it enables. Extras for work on nanochat itself (test, dev, docs) are not a user's."""
SLOW_MILLISECONDS = 200.0
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*\(?([^;()]*)\)?\s*(?:;(.*))?$")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


@dataclass(frozen=True)
class Requirement:
    """A package with the versions that will do (`>=2.11,<3`), and the extra that wants it (empty: nanochat itself)."""

    name: str
    specifier: str
    extra: str = ""

    def accepts(self, version: str) -> bool:
        """Whether a version will do. Only the comparisons `>=`, `<`, `==`, `!=`, `>` and `<=` of releases are known."""
        have = _release(version)
        for clause in filter(None, self.specifier.replace(" ", "").split(",")):
            sign = re.match(r"[<>=!~]+", clause)
            want = _release(clause.lstrip("<>=!~"))
            length = max(len(have), len(want))
            a, b = (tuple(part) + (0,) * (length - len(part)) for part in (have, want))
            verdicts = {">=": a >= b, "<": a < b, "==": a == b, "!=": a != b, ">": a > b, "<=": a <= b}
            if sign and not verdicts.get(sign.group(), True):
                return False
        return True

    def installed(self) -> str | None:
        """The version that is here, or None."""
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return None


def _release(version: str) -> tuple[int, ...]:
    """`2.13.0+cpu` -> (2, 13, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else (0,)


@cache
def requirements() -> tuple[Requirement, ...]:
    """What the installed distribution asks for; empty if it cannot be read."""
    try:
        lines = metadata.requires(OWN_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return ()
    found = []
    for line in lines:
        match = _REQUIREMENT.match(line)
        if match:
            extra = _EXTRA.search(match.group(3) or "")
            found.append(Requirement(match.group(1), match.group(2).strip(), extra.group(1) if extra else ""))
    return tuple(found)


def look_at_packages() -> Iterator[Finding]:
    """What nanochat cannot do without, but for torch, which has a look of its own."""
    needed = [each for each in requirements() if not each.extra and each.name != "torch"]
    if not needed:
        what = (
            f"no installed distribution is called {OWN_DISTRIBUTION}: nanochat runs from a folder, without its plugins"
        )
        yield Finding("packages", PROBLEM, what, f'"{sys.executable}" -m pip install --editable . in its folder')
        return
    fine = True
    for each in needed:
        have, wanted = each.installed(), f'"{sys.executable}" -m pip install "{each.name}{each.specifier}"'
        if have is None:
            yield Finding("packages", PROBLEM, f"{each.name} is not installed", wanted)
        elif not each.accepts(have):
            yield Finding("packages", PROBLEM, f"{each.name} {have} is here, {each.specifier} is needed", wanted)
        fine &= have is not None and each.accepts(have)
    if fine:
        yield Finding("packages", OK, f"all {len(needed)} that nanochat needs are here")


def look_at_extras() -> Iterator[Finding]:
    """Which extras are complete, and what the others would enable. An absent extra is no fault."""
    for extra, enables in EXTRAS.items():
        needed = [each for each in requirements() if each.extra == extra]
        lacking = [each.name for each in needed if each.installed() is None]
        old = [each for each in needed if (have := each.installed()) is not None and not each.accepts(have)]
        install = f'"{sys.executable}" -m pip install "{OWN_DISTRIBUTION}[{extra}]"'
        if lacking:
            yield Finding("extras", OK, f"{extra} is absent ({', '.join(lacking)}): {enables}", install)
        elif old:
            versions = ", ".join(f"{each.name} {each.installed()} ({each.specifier} is needed)" for each in old)
            yield Finding("extras", NOTE, f"{extra}: {versions}", install)
        else:
            yield Finding("extras", OK, f"{extra} is here: {enables}")


def look_at_plugins() -> Iterator[Finding]:
    """Every plugin that is not as it should be, and how many are."""
    from nanochat_framework.plugins import load_plugins

    plugins = load_plugins().plugins
    todo = {
        "failed": "update or uninstall {0}, or leave it out: NANOCHAT_DISABLE_PLUGINS={1}",
        "incompatible": "install a version of {0} for this nanochat, or leave it out: NANOCHAT_DISABLE_PLUGINS={1}",
        "shadowed": "uninstall {0} or the distribution that has its name",
        "disabled": "it is left out as the environment asks; unset NANOCHAT_DISABLE_PLUGINS or NANOCHAT_LOAD_PLUGINS",
    }
    for plugin in plugins:
        named = f"{plugin.name} ({plugin.distribution} {plugin.version})"
        if plugin.state != "ok":
            level = NOTE if plugin.state == "disabled" else PROBLEM
            what = f"{named} is {plugin.state}: {plugin.reason}"
            yield Finding("plugins", level, what, todo[plugin.state].format(plugin.distribution, plugin.name))
        elif plugin.milliseconds > SLOW_MILLISECONDS and not plugin.first_party:
            what = f"{named} takes {plugin.milliseconds:.0f} ms to load, at every command"
            yield Finding(
                "plugins", NOTE, what, "tell its author: a plugin's module registers, and imports nothing heavy"
            )
    fine = [plugin for plugin in plugins if plugin.state == "ok"]
    yield Finding("plugins", OK, f"{len(fine)} loaded, with {sum(len(p.components) for p in fine)} components")
