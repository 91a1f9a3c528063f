"""Tables as text: cells and lines of every output format. Nothing is printed here.

How a cell without a number looks depends on the reason, which a note (`undefined_note`) explains:

    what                                          TSV, CSV       JSON    people
    not measured (None)                           empty          null    –
    undefined for the data (NaN)                  nan            null    undefined
    beyond the largest number (±∞)                inf, -inf      null    infinite, -infinite

R and pandas read `nan` and an empty field as missing, `inf` as a number; JSON has no word for either.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

Format = Literal["auto", "table", "tsv", "plain", "json", "csv", "markdown", "latex"]
FOR_PEOPLE = ("table", "markdown", "latex")
"""Formats whose title says what all rows share, and in which a cell holds a figure with its error."""

WORDS = {"nan": "undefined", "inf": "infinite", "-inf": "-infinite"}
"""Words for a float that is not finite, for people."""

TSV_ESCAPES = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})
MARKDOWN_MARKS = re.compile(
    r"[|\\`~$]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|\*(?=\S)|(?<=\S)\*|(?<!\w)_|_(?!\w)|\](?=[\[(])"
)
"""What Markdown would take for markup; `step_size`, `x < 3` and a lone * stay readable in raw tables."""
LATEX_ESCAPES = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "\n": " ", "\r": " ", "\t": " "}
    | {"−": "$-$", "±": r"$\pm$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "–": "--"}
    # At the start of a row, the \\\\ before it would take these for its argument.
    | {"[": "{[}", "*": "{*}"}
    | {"‖": r"$\Vert$", "Δ": r"$\Delta$", "τ": r"$\tau$", "θ": r"$\theta$", "²": "$^2$", "½": r"$\frac12$"}
)


class Best(NamedTuple):
    """The best cell of its column: highlighted for people, and like any other for programs."""

    cell: object


class Table(NamedTuple):
    """Data to print. A cell is a string, number, bool, None (not measured), `Best` or anything with a `str`."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""

    @classmethod
    def of(cls, title: str, records: Sequence[Mapping[str, object]], note: str = "") -> Table:
        """Return a table of records, all with the same columns."""
        columns = [*records[0]] if records else []
        return cls(title, columns, [[record[name] for name in columns] for record in records], note)


def lines_of(table: Table, fmt: str, named: bool = False) -> Iterator[str]:
    """Yield the lines of a table in a plain-text format."""
    if fmt in ("tsv", "plain"):
        header = [table.columns] if fmt == "tsv" else []
        for row in (*header, *table.rows):
            yield "\t".join(exact(cell).translate(TSV_ESCAPES) for cell in row) + "\n"
    elif fmt == "csv":
        for row in (table.columns, *table.rows):
            line = io.StringIO()
            csv.writer(line).writerow([exact(cell) for cell in row])  # its own \r\n makes it quote a \r
            yield line.getvalue().removesuffix("\r\n") + "\n"
    elif fmt == "json":
        for row in table.rows:
            record: dict[str, object] = {"table": table.title} if named else {}
            record |= {name: native(cell) for name, cell in zip(table.columns, row, strict=True)}
            yield json.dumps(record, ensure_ascii=False, allow_nan=False, default=str) + "\n"
    elif fmt == "markdown":
        yield from markdown_lines(table)
    else:
        yield from latex_lines(table)


def markdown_lines(table: Table) -> Iterator[str]:
    """Yield a Markdown table below its title, with numbers aligned right."""
    if table.title:
        yield f"**{markdown_text(table.title)}**\n\n"
    rules = ["---:" if right else "---" for right in numeric_columns(table)]
    body = [[markdown_cell(cell) for cell in row] for row in table.rows]
    for cells in ([markdown_text(name) for name in table.columns], rules, *body):
        yield f"| {' | '.join(cells)} |\n"


def markdown_cell(cell: object) -> str:
    """Return a cell for a Markdown table; the best of a column is bold."""
    text = markdown_text(readable(cell))
    return f"**{text}**" if isinstance(cell, Best) else text


def markdown_text(text: str) -> str:
    """Return a text as one line of Markdown, escaped so that every character shows."""
    return MARKDOWN_MARKS.sub(r"\\\g<0>", re.sub(r"[\n\r\t]", " ", text))


def latex_lines(table: Table) -> Iterator[str]:
    """Yield a `tabular` in the style of the booktabs package, with its title as a comment."""
    if table.title:
        yield f"% {' '.join(table.title.split())}\n"
    columns = "".join("r" if right else "l" for right in numeric_columns(table))
    yield f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
    yield " & ".join(name.translate(LATEX_ESCAPES) for name in table.columns) + " \\\\\n\\midrule\n"
    for row in table.rows:
        yield " & ".join(latex_cell(cell) for cell in row) + " \\\\\n"
    yield "\\bottomrule\n\\end{tabular}\n"


def latex_cell(cell: object) -> str:
    """Return a cell for a LaTeX table; the best of a column is bold."""
    if isinstance(cell, Best):
        return f"\\textbf{{{latex_cell(cell.cell)}}}"
    text = readable(cell)
    return f"${text}$" if is_number(native(cell)) and text.startswith("-") else text.translate(LATEX_ESCAPES)


def undefined_note(table: Table, fmt: str) -> str:
    """Return which columns hold NaN or ±∞, and how this format shows them; "" if all is finite.

    It goes beside the table's own note, which gives the reason if the task knows it.
    """
    found: dict[str, list[str]] = {}
    for i, name in enumerate(table.columns):
        values = (scalar(row[i]) for row in table.rows)
        for word in dict.fromkeys(str(v) for v in values if isinstance(v, float) and not math.isfinite(v)):
            found.setdefault(word, []).append(name)
    reasons = {"nan": "not defined for what was measured"}
    notes = []
    for word, names in found.items():
        shown = "null" if fmt == "json" else WORDS[word] if fmt in FOR_PEOPLE else word
        notes.append(f"{shown} in {', '.join(names)}: {reasons.get(word, 'beyond the largest number')}")
    return "; ".join(notes)


def scalar(cell: object) -> Any:
    """Return a NumPy or PyTorch number as Python's, the cell inside a `Best`, and anything else as it is."""
    if isinstance(cell, Best):
        return scalar(cell.cell)
    return cell.item() if hasattr(cell, "item") and getattr(cell, "ndim", 0) == 0 else cell


def native(cell: object) -> Any:
    """Return a cell as a JSON value: numbers and bools of any library as Python's, non-finite floats as None."""
    cell = scalar(cell)
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    if isinstance(cell, dict):
        return {str(key): native(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [native(value) for value in cell]
    return cell


def exact(cell: object) -> str:
    """Return a cell for programs: floats to 9 significant digits, true and false, nothing for None."""
    cell = scalar(cell)
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return f"{cell:.9g}" if isinstance(cell, float) else str(cell)


def readable(cell: object) -> str:
    """Return a cell for people: floats to four significant digits, yes and no, a dash for None."""
    cell = scalar(cell)
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if not isinstance(cell, float):
        return str(cell)
    if not math.isfinite(cell):
        return WORDS[str(cell)]
    if cell == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(cell)))
    if not -4 <= magnitude < 7:
        return f"{cell:.3e}"
    return f"{cell:.{min(max(3 - magnitude, 1), 6)}f}"


def is_number(value: object) -> bool:
    """Return whether a value is an int or a float, but not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def numeric_columns(table: Table) -> list[bool]:
    """Return which columns hold only numbers (and gaps), and so are aligned right."""
    return [
        bool(table.rows) and all(row[i] is None or is_number(scalar(row[i])) for row in table.rows)
        for i in range(len(table.columns))
    ]
