"""The site: its generated reference has everything, and a link that leads nowhere fails the build."""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from nanochat_framework.cli import COMMANDS
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.plugins import Registry
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    sys.path.insert(0, str(REPOSITORY / "docs" / "site"))
    spec = importlib.util.spec_from_file_location("site_build", REPOSITORY / "docs" / "site" / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.pop(0)
    return module


@pytest.fixture(scope="module")
def staged(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    builder.stage(folder / "pages")
    return folder


def test_the_reference_has_every_component_and_field(staged: Path, registry: Registry) -> None:
    for component in registry.components():
        page = (staged / "pages" / "docs" / "reference" / f"{component.kind}.md").read_text()
        section = page.partition(f"\n## {component.name}\n")[2].partition("\n## ")[0]
        assert section, f"{component.kind} {component.name}"
        for name, field in component.config_class().model_fields.items():
            assert f"| `{name}` |" in section
            assert " ".join((field.description or "").split()).replace("|", "\\|").replace("<", "&lt;") in section


def test_the_reference_has_every_section_and_command(staged: Path) -> None:
    reference = staged / "pages" / "docs" / "reference"
    sections = (reference / "sections.md").read_text()
    assert all(f"\n## {name}\n" in sections for name in RunConfig.model_fields)
    assert "| `batch_size` |" in sections.partition("\n## train\n")[2].partition("\n## ")[0]
    commands = (reference / "commands.md").read_text()
    assert all(f"\n## nanochat {name}\n" in commands for rows in COMMANDS.values() for name in rows)
    assert "\n### nanochat config check\n" in commands
    assert "--set KEY=VALUE" in commands.partition("\n## nanochat train\n")[2].partition("\n## ")[0]


def test_every_page_stands_in_one_part(builder: ModuleType) -> None:
    parts = builder._parts([])
    assert list(parts) == ["Tutorial", "How-to", "Reference", "Explanation"]
    placed = sorted(page for pages in parts.values() for page in pages if page.count("/") == 1)
    assert placed == sorted(f"docs/{page.name}" for page in (REPOSITORY / "docs").glob("*.md"))


@pytest.mark.skipif(
    find_spec("zensical") is None, reason="building the site needs pip install 'nanochat-framework[docs]'"
)
def test_the_build_is_strict(
    builder: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    work, output = tmp_path / "work", tmp_path / "site"
    work.mkdir()
    assert builder.build(output, work) == 0, capfd.readouterr()
    assert (output / "docs" / "tutorial.html").is_file()
    assert "momentum" in (output / "docs" / "reference" / "optimizer.html").read_text()
    for page in output.rglob("*.html"):
        assert "```" not in re.sub(r"<[^>]+>", "", page.read_text()), f"{page.name}: a block is shown as text"
    for bad in ("[x](gone.md)", "[x](training.md#no-such-heading)"):
        page = work / "pages" / "docs" / "tutorial.md"
        before = page.read_text()
        page.write_text(f"{before}\n{bad}\n")
        settings = {"project": {"site_name": "x", "validation": {"invalid_links": True, "invalid_link_anchors": True}}}
        assert builder.render(settings, tmp_path / "other", work) != 0
        page.write_text(before)
    assert not (tmp_path / "other").exists()
