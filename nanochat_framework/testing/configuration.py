"""What every component's configuration must do, whatever its kind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache

from pydantic.fields import FieldInfo

from nanochat_framework.config.component import ComponentConfig
from nanochat_framework.testing.subject import Subject
from nanochat_framework.testing.suite import law

HEAVY = ("torch", "numpy", "transformers", "safetensors", "tokenizers", "gguf")
"""Packages that no configuration may import: `nanochat plugins list` and the dashboard read configurations."""

_QUANTITY = re.compile(
    r"(^|_)(dim|len|length|width|size|bytes|memory|time|timeout|duration|delay|interval|period|every|warmup)(_|$)"
)
_UNIT = re.compile(
    r"\b(tokens?|steps?|updates?|channels?|positions?|heads?|layers?|rows?|columns?|documents?|characters?|samples?|"
    r"sequences?|batch(es)?|experts?|weights?|inputs?|outputs?|values?|bytes?|KiB|MiB|GiB|kB|MB|GB|bits?|nats?|"
    r"milliseconds?|seconds?|minutes?|hours?|days?|ms|epochs?|times|records?|lines?|files?|examples?|questions?|"
    r"share|fraction|ratio|factor|number|units?)\b",
    re.IGNORECASE,
)


def settings_are_a_component_config(subject: Subject) -> None:
    """The configuration is a `ComponentConfig`: frozen, and refusing keys that it does not have."""
    config_class = subject.component.config_class()
    assert issubclass(config_class, ComponentConfig), f"{subject.component.config} is no ComponentConfig"
    assert config_class.model_config.get("frozen"), "its model_config switches frozen off"
    assert config_class.model_config.get("extra") == "forbid", "its model_config lets unknown keys in"


def the_example_is_valid(subject: Subject) -> None:
    """The defaults, with the examples of fields that have no default, are settings that validate."""
    try:
        subject.selected()
    except ValueError as error:
        raise AssertionError(f"{dict(subject.settings)} does not validate: {error}") from error


def every_setting_is_described(subject: Subject) -> None:
    """Every field has a description; the JSON schema, `nanochat components show` and the documents are made of them."""
    for name, info in _fields(subject):
        text = (info.description or "").strip()
        assert text, f"the field {name!r} has no description: Field(description=...)"
        assert len(text.split()) > 1, f"the description of {name!r} says no more than {text!r}"


def quantities_have_a_unit(subject: Subject) -> None:
    """A number that measures something says in its description, or in its name, what it is counted in."""
    for name, info in _fields(subject):
        numeric = info.annotation in (int, float) or str(info.annotation) in ("int | None", "float | None")
        if numeric and _QUANTITY.search(name):
            said = f"{name.replace('_', ' ')} {info.description}"
            measured = _QUANTITY.sub(" ", name).replace("_", " ")
            assert _UNIT.search(f"{measured} {info.description}"), (
                f"the field {name!r} measures something and does not say in what: {said!r}"
            )


def settings_survive_json(subject: Subject) -> None:
    """Any valid settings, written as JSON and read again, are the same settings: checkpoints keep them so."""
    from nanochat_framework.testing.drawn_settings import for_settings

    def check(settings: dict[str, object]) -> None:
        chosen = subject.selected(settings)
        written = json.loads(json.dumps(chosen.to_dict()))
        assert written.pop("name") == subject.component.name
        again = subject.selected(written)
        assert again.config == chosen.config, f"{settings} came back as {written}"

    for_settings(subject, check)


def settings_import_nothing_heavy(subject: Subject) -> None:
    """The module of the configuration imports neither torch nor anything as slow, nor does it print."""
    module = subject.component.config.partition(":")[0]
    heavy, printed = imported(module)
    assert not heavy, f"importing {module} imports {', '.join(heavy)}; keep the configuration in a module of its own"
    assert not printed, f"importing {module} prints {printed!r}; stdout is data"


def the_summary_is_one_line(subject: Subject) -> None:
    """The summary is one line of text that fits a listing."""
    summary = subject.component.summary
    assert summary.strip(), "the summary is empty"
    assert "\n" not in summary, "the summary has several lines"
    assert len(summary) <= 120, f"the summary has {len(summary)} characters; at most 120 fit a line"


def _fields(subject: Subject) -> list[tuple[str, FieldInfo]]:
    return list(subject.component.config_class().model_fields.items())


@cache
def imported(module: str) -> tuple[list[str], str]:
    """Heavy packages that a fresh process has imported with a module, and what that printed."""
    code = (
        f"import sys, importlib\nimportlib.import_module({module!r})\n"
        f"print('\\0', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{module} cannot be imported by itself: {(done.stderr.splitlines() or ['?'])[-1]}"
    printed, _, heavy = done.stdout.rpartition("\0")
    return heavy.split(), printed.strip()


LAWS = tuple(
    map(
        law,
        (
            settings_are_a_component_config,
            the_example_is_valid,
            every_setting_is_described,
            quantities_have_a_unit,
            settings_survive_json,
            settings_import_nothing_heavy,
            the_summary_is_one_line,
        ),
    )
)
