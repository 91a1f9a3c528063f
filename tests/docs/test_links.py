"""Relative links of the README, docs/ and results/ lead to files and headings that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    page for where in (".", "docs", "results", "tests/saved") for page in sorted((ROOT / where).glob("*.md"))
]
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")


def prose(path: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings; a repeated heading gets -1."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        name = re.sub(r"[^\w\u0300-\u036f\- ]", "", text).replace(" ", "-")
        number, anchor = 0, name
        while anchor in found:
            number += 1
            anchor = f"{name}-{number}"
        found.add(anchor)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_exist(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}, which does not exist"
        assert file.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(file), (
            f"{page.name} links to {target}, which has no such heading"
        )


def test_docs_readme_lists_every_page() -> None:
    listed = LINK.findall(prose(ROOT / "docs" / "README.md"))
    assert sorted(listed) == sorted(path.name for path in ROOT.glob("docs/*.md") if path.name != "README.md")


def test_anchors_match_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `kl` & [b](c.md)\n\n```sh\n# no heading\n```\n\n## k̂, ESS\n\n## k̂, ESS\n", encoding="utf-8"
    )
    assert anchors(page) == {"a-kl--b", "k̂-ess", "k̂-ess-1"}
