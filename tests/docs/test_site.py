"""The README and the site: size, links, a strict build."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 900


def test_links_of_the_readme_and_the_changelog_lead_somewhere() -> None:
    for text in (README, (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")):
        links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
        assert [link for link in links if not (REPOSITORY / link.partition("#")[0]).exists()] == []


def test_pictures_are_small() -> None:
    assert (REPOSITORY / "docs/images/before-after.png").stat().st_size <= 200_000


def _mentions() -> Iterator[tuple[str, str]]:
    """Pages that code, configuration and recipes refer to."""
    for pattern in ("*.toml", "*.yaml", "*.txt", "purify/**/*.py", "benchmarks/*.py", "recipes/*.toml"):
        for path in REPOSITORY.glob(pattern):
            for page in re.findall(r"\bdocs/[\w./-]+\.md\b", path.read_text(encoding="utf-8")):
                yield path.relative_to(REPOSITORY).as_posix(), page


def test_pages_that_the_code_refers_to_exist() -> None:
    assert [(where, page) for where, page in _mentions() if not (REPOSITORY / page).is_file()] == []


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra docs)")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    loaded = re.compile(r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=[\"']?(https?:|//)[^>]*>")
    for page in tmp_path.rglob("*.html"):
        tags = [found[0] for found in loaded.finditer(page.read_text(encoding="utf-8"))]
        assert [tag for tag in tags if 'rel="canonical"' not in tag] == []
    for name, words in {"cli": "--review-budget", "configuration": "train.epochs", "api": "find_label_errors"}.items():
        assert words in (tmp_path / "reference" / f"{name}.html").read_text(encoding="utf-8")
