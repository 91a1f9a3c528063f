"""A page of all tables that `reproduce` wrote, made from their JSON files alone."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sritool.analysis.reproduction.collect import FORMAT
from sritool.analysis.reproduction.published import NAMES
from sritool.analysis.reproduction.tables import TABLES
from sritool.cli.formats import markdown_lines
from sritool.cli.render import write_lines
from sritool.cli.reproduction.tables import PAPER, Document, label, machine_line, tables_of
from sritool.errors import DataError
from sritool.files import write_output

BEGIN, END = "<!-- sritool reproduce page: begin -->", "<!-- sritool reproduce page: end -->"
"""Marks in a file; a page is written between them."""


# What every document has; its rows are not checked.
_KEYS = {"title", "source", "the paper says", "corpus", "recipe", "columns", "command", "made", "sritool"}
_KEYS |= {"machine", "the plan", "rows", "seeds"}


def page_lines(documents: Sequence[Document], folder: str = "") -> Iterator[str]:
    """Yield a page of documents in Markdown: for each, a heading, its command, tables and pictures.

    `folder` is the path from the page to the pictures; "": they are beside it.
    """
    for found in documents:
        yield f"### {_heading(found)}\n\n"
        yield f"```sh\n{found['command']}\n```\n\n"
        yield f"{found['made']}, sritool {found['sritool']}, {machine_line(found['machine'])}; "
        yield f"published figures: {found['source']}.\n\n"
        yield from (f"- {line}\n" for line in found["the plan"])
        yield "\n"
        yield f"The paper: {found['the paper says']}\n\n" if found["the paper says"] else ""
        for table in tables_of(found, "markdown"):
            yield from markdown_lines(table)
            yield "\n"
            for line in (line for line in table.note.split("\n") if line and not line.startswith(PAPER)):
                yield f"- {line}\n"
            yield "\n" if table.note else ""
        for entry in found["rows"]:
            if "picture" in entry:
                place = f"{folder}/{entry['picture']}" if folder else entry["picture"]
                yield f"![{found['title']}: {label(found, entry)}]({place})\n\n"


def _heading(found: Document) -> str:
    return f"{found['table']}: {found['title']}, {found['corpus']}, `{found.get('name', found['recipe'])}`"


def _line_of_contents(found: Document) -> str:
    """Return a link to a document's heading, and the table's methods: done, not done, and not in its plan."""
    heading = _heading(found)
    anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    done = [one["name"] for one in found["rows"] if one["status"] == "done"]
    rest = [one["name"] for one in found["rows"] if one["name"] not in done]
    planned = {one["name"] for one in found["rows"]}
    others = [name for name in map(NAMES.__getitem__, TABLES[found["table"]].methods) if name not in planned]
    kinds = (("", done), ("not done: ", rest), ("not planned: ", others))
    told = "; ".join(what + ", ".join(dict.fromkeys(names)) for what, names in kinds if names)
    return f"- [{heading}](#{anchor}): {told}\n"


def read_document(path: Path) -> dict[str, Any]:
    """Read a document that `reproduce` wrote; raise DataError if it is not one or cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {error}; move it elsewhere, then make it again") from error
    is_table = isinstance(found, Mapping) and found.get("format") == FORMAT and found.get("table") in TABLES
    if not is_table or not found.keys() >= _KEYS:
        raise DataError(f"{path} is not a table of sritool reproduce; move it elsewhere, then make it again")
    return dict(found)


def page_of(folder: Path, seen: str = "") -> str:
    """Return a page of all tables in a folder, whose path from the page is `seen`; raise DataError without any."""
    found = [read_document(path) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise DataError(f"no table in {folder}; write one first, as with: sritool reproduce table1 --no-run")
    found.sort(key=_place)
    written = {one["table"] for one in found}
    rest = (
        f"### {name}: {table.title}, {table.corpus}\n\nNot run: `sritool reproduce {name}`; "
        f"its commands and their times: `sritool reproduce {name} --dry-run`\n\n"
        for name, table in TABLES.items()
        if name not in written
    )
    return "".join([*map(_line_of_contents, found), "\n", *page_lines(found, seen), *rest])


def _place(found: Document) -> tuple[int, bool, bool, str, str]:
    """Return what orders documents: the tables as in the paper, the paper's corpus first and `tiny` last."""
    corpus, name = found["corpus"], found["table"]
    first, last = corpus != TABLES[name].corpus, corpus == "tiny"
    return list(TABLES).index(name), first, last, corpus, found.get("name", found["recipe"])


def write_page(folder: Path, target: Path | None) -> None:
    """Print a page, or write it to a new file or between the marks of an existing one.

    Raises:
        DataError: There are no tables, or the file lacks a mark.
    """
    if target is None:
        write_lines([page_of(folder, folder.as_posix())])
        return
    page = page_of(folder, Path(os.path.relpath(folder, target.parent)).as_posix())
    try:
        text = target.read_bytes().decode() if target.exists() else f"{BEGIN}{END}\n"
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {target}: {error}; give a page with {BEGIN} and {END} in it") from error
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise DataError(f"{target} lacks one or both marks; put {BEGIN} and {END} where the tables should go")
    write_output(target, [f"{before}{BEGIN}\n\n{page}{END}{after}".encode()])
