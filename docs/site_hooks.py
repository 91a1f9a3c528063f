"""Hooks of the documentation site: pages that lie outside docs/ are part of it too.

In the checkout, docs/ and results/ stand side by side; on the site, results/ is a folder of docs/. So links between
the two are rewritten.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/short_run.py")
_LINK = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of results/ with their pictures, and those of the checkout's top folder."""
    shown = [*sorted(ROOT.glob("results/*.md")), *sorted(ROOT.glob("results/reproduction/*.png"))]
    pages = [*shown, *(ROOT / name for name in OUTSIDE)]
    for path in pages:
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as they are in the checkout → links as they are on the site."""
    name = page.file.src_uri
    in_checkout = Path(name) if name.startswith("results/") or name in OUTSIDE else Path("docs") / name
    folder = (ROOT / in_checkout).parent
    here = Path(name).parent

    def moved(match: re.Match[str]) -> str:
        path, _, heading = match[1].partition("#")
        target = (folder / path).resolve()
        if not target.is_relative_to(ROOT):
            return match[0]
        inside = target.relative_to(ROOT).as_posix().removeprefix("docs/")
        inside = "results/README.md" if inside == "results" else inside
        if files.get_file_from_path(inside) is None:
            return match[0]
        up = "../" * len(here.parts)
        return f"]({up}{inside}{'#' + heading if heading else ''})"

    return _LINK.sub(moved, markdown)
