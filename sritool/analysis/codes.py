"""Reads and writes latent codes as tab-separated lines, JSON lines or NumPy's .npy, float32 without loss.

    z1 TAB z2 TAB … z32        a header, which may name other columns too, or numbers alone
    {"z": [0.1, …]}            one object per line; its other keys are ignored
    .npy                       [n, latent], or [n, chains, latent] as n·chains codes

Nine significant digits identify every float32, so that text loses nothing.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool.data.blocks import name_of, read_blocks, text_blocks
from sritool.errors import DataError
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_split
from sritool.evaluation.sentences import read_text
from sritool.runs.model import Floats, Report, TrainedModel

FORMS = ("tsv", "plain", "csv", "json", "npy")  # plain: tsv without a header
BY_SUFFIX = {
    ".npy": "npy",
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
    ".csv": "csv",
    ".tsv": "tsv",
}
_MAGIC = b"\x93NUMPY"
_OTHER = "give codes of this model"
_WRITTEN = "give codes as sritool encode writes them"


class Encoded(NamedTuple):
    """A text's sentences and their codes."""

    sentences: list[str]
    codes: Floats  # [sentences, rows, latent]; one row per chain, or one row with their mean

    @property
    def flat(self) -> Floats:
        """One code per row, [sentences · rows, latent]; the rows of a sentence are adjacent."""
        return self.codes.reshape(-1, self.codes.shape[-1])

    def beside(self, with_text: bool) -> dict[str, list[object]]:
        """Return columns that identify the rows of `flat`: line and chain, from 1, if a line has several rows.

        With `with_text`, the sentence is added.
        """
        count, rows, _ = self.codes.shape
        columns: dict[str, list[object]] = {}
        if rows > 1:
            columns["line"] = [line for line in range(1, count + 1) for _ in range(rows)]
            columns["chain"] = list(range(1, rows + 1)) * count
        if with_text:
            columns["sentence"] = [text for text in self.sentences for _ in range(rows)]
        return columns


def encode_text(
    model: TrainedModel, text: Path, how: CodeSettings, batch_size: int, report: Report
) -> Encoded:
    """Encode every line of a text, including empty lines; codes of a long text are kept on disk.

    Raises:
        UsageError: The model has no z.
        DataError: The text cannot be read.
    """
    model.require_latent("encode")
    lines = read_text(text).lines
    split = model.split(lines)
    return Encoded(lines, codes_of_split(model, split, np.arange(len(split)), how, batch_size, report))


def column_names(latent: int) -> list[str]:
    """Return the column names of codes: z1 … zd."""
    return [f"z{number}" for number in range(1, latent + 1)]


def read_codes(path: Path | str, latent: int) -> Floats:
    """Read codes from a file or "-", in any of the forms; the form is detected from the content.

    Returns:
        Codes in the order of the file, at least one. Shape [n, latent], float32.

    Raises:
        DataError: The file is missing, empty or damaged, a code has another width, or a value is not a finite
            float32. The message names file and line.
    """
    where, data = name_of(Path(path)), b"".join(read_blocks(Path(path)))
    if data.startswith(_MAGIC):
        codes = _parse_npy(data, where, latent)
        return _finite(codes, where, "row", range(1, len(codes) + 1))
    text = b"".join(text_blocks([data], where)).decode() if data else ""
    if not text.strip():
        raise DataError(f"{where} is empty; {_WRITTEN}")
    # Blank lines at the end do not count, but a tab before an empty last cell does.
    body = len(text.rstrip())
    lines = (text[:body] + text[body:].partition("\n")[0]).split("\n")
    if lines[0].lstrip().startswith("{"):
        return _finite(_parse_json(lines, where, latent), where, "line", range(1, len(lines) + 1))
    return _parse_table(lines, where, latent)


def form_of(path: Path) -> str:
    """Return the form for a file's ending; tsv for an unknown one."""
    return BY_SUFFIX.get(path.suffix.lower(), "tsv")


def code_lines(
    codes: Floats, form: str, beside: Mapping[str, Sequence[object]] | None = None
) -> Iterator[str]:
    """Yield codes [n, latent] as lines with line ends, in any of FORMS but npy; the header, if any, comes first.

    `beside` gives more values for each code, by name: columns before z1, or keys before z.
    """
    beside = beside or {}
    others = list(zip(*beside.values(), strict=True)) if beside else [()] * len(codes)
    if form == "json":
        for code, cells in zip(codes, others, strict=True):
            record = dict(zip(beside, cells, strict=True)) | {"z": [float(_digits(x)) for x in code.tolist()]}
            yield json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        return
    separator = "," if form == "csv" else "\t"
    if form != "plain":
        yield separator.join([*beside, *column_names(codes.shape[1])]) + "\n"
    for code, cells in zip(codes, others, strict=True):
        yield separator.join([*map(str, cells), *map(_digits, code.tolist())]) + "\n"


def npy_bytes(codes: Floats) -> bytes:
    """Return codes of any shape as the bytes of a .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(codes), version=(1, 0), allow_pickle=False)
    return file.getvalue()


def _digits(value: float) -> str:
    return f"{value:.9g}"


def _parse_table(lines: Sequence[str], where: str, latent: int) -> Floats:
    numbers, rows, separator = _cells(lines, where)
    header, columns = [cell.strip() for cell in rows[0]], list(range(latent))
    named = not _are_numbers(header)
    if named:
        columns, numbers, rows = _columns_of(header, where, latent), numbers[1:], rows[1:]
    if not rows:
        raise DataError(f"{where} has a header and no codes below it; {_WRITTEN}")
    width = len(header) if named else latent
    codes = np.empty((len(rows), latent), dtype=np.float64)
    for i, (number, row) in enumerate(zip(numbers, rows, strict=True)):
        if len(row) != width:
            has = f"{len(row)} {'column' if len(row) == 1 else 'columns'} (separated by {separator})"
            advice = "; fix it" if named else f", which the model's codes have; {_OTHER}"
            raise DataError(f"{where} line {number} has {has}, not {width}{advice}")
        try:
            codes[i] = [float(row[column]) for column in columns]
        except ValueError:
            wrong = next(row[column] for column in columns if not _are_numbers([row[column]]))
            raise DataError(
                f"{where} line {number} has {wrong[:40]!r} in place of a number; fix it"
            ) from None
    return _finite(codes, where, "line", numbers)


def _cells(lines: Sequence[str], where: str) -> tuple[Sequence[int], list[list[str]], str]:
    """Return the last line's number and the cells of each row, and their separator: tabs, commas or white space."""
    numbers = range(1, len(lines) + 1)
    if "\t" in lines[0]:
        return numbers, [line.rstrip("\r").split("\t") if line.strip() else [] for line in lines], "tabs"
    if "," not in lines[0]:
        return numbers, [line.split() for line in lines], "white space"
    reader = csv.reader(io.StringIO("\n".join(lines), newline=""), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{where} is not CSV ({error}); fix it") from error
    return [number for number, _ in rows], [row for _, row in rows], "commas"


def _are_numbers(cells: Sequence[str]) -> bool:
    try:
        for cell in cells:
            float(cell)
    except ValueError:
        return False
    return bool(cells)


def _columns_of(header: Sequence[str], where: str, latent: int) -> list[int]:
    """Return the positions of z1 … zd in a header."""
    place = {name: column for column, name in enumerate(header)}
    names = column_names(latent)
    count = sum(1 for name in header if name[:1] == "z" and name[1:].isdigit())
    if any(name not in place for name in names) or count != latent:
        if not count:
            neither = f"is neither numbers nor a header with columns z1 … z{latent}"
            raise DataError(f"{where} line 1 {neither}; {_WRITTEN}")
        columns = "column" if count == 1 else "columns"
        raise DataError(f"{where} has {count} {columns} of z, and the model's codes have {latent}; {_OTHER}")
    return [place[name] for name in names]


def _parse_json(lines: Sequence[str], where: str, latent: int) -> NDArray[np.float64]:
    codes = np.empty((len(lines), latent), dtype=np.float64)
    for number, line in enumerate(lines, 1):
        try:
            record: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} line {number} is not JSON ({error}); mend or remove it") from error
        z = record.get("z") if isinstance(record, dict) else None
        if not isinstance(z, list):
            advice = 'write {"z": [...]} on every line'
            raise DataError(f'{where} line {number} has no list under "z"; {advice}')
        if len(z) != latent:
            numbers = f"{len(z)} numbers, and the model's codes have {latent}"
            raise DataError(f"{where} line {number} has {numbers}; {_OTHER}")
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in z):
            raise DataError(f"{where} line {number} has a value in its z that is not a number; fix it")
        try:
            codes[number - 1] = z
        except OverflowError:  # an integer beyond the range of a double
            codes[number - 1] = np.inf
    return codes


def _parse_npy(data: bytes, where: str, latent: int) -> NDArray[Any]:
    """Read the array of a .npy file; nothing is allocated before the header agrees with the file's length."""
    file = io.BytesIO(data)
    try:
        form = np.lib.format
        readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
        shape, _, kind = readers[form.read_magic(file)](file)
    except Exception as error:  # the header is a Python literal, which can fail in many ways
        reason = " ".join(str(error).split())[:80]
        raise DataError(f"{where} is a damaged .npy file ({reason}); write it again") from error
    if kind.kind not in "fiu":
        raise DataError(f"{where} holds {kind}, not numbers; save codes as float32 [n, {latent}]")
    count = math.prod(shape)
    if len(data) - file.tell() != count * kind.itemsize:
        raise DataError(f"{where} is cut short, or its header is wrong; write it again")
    if len(shape) not in (1, 2, 3) or shape[-1] != latent:
        found = f"shape {list(shape)}, and the model's codes have {latent} dimensions"
        raise DataError(f"{where} has {found}; {_OTHER}")
    if not count:
        raise DataError(f"{where} has no codes; {_WRITTEN}")
    file.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array.reshape(-1, latent)


def _finite(codes: NDArray[Any], where: str, unit: str, numbers: Sequence[int]) -> Floats:
    """Return codes as float32; raise DataError at the first row with a value that is not a finite float32.

    `numbers` are those of the rows in the file.
    """
    with np.errstate(over="ignore"):
        exact: Floats = np.ascontiguousarray(codes, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(exact).all(axis=1))
    if len(bad):
        values = exact[bad[0]]
        kind = "NaN" if np.isnan(values).any() else "an infinite or too large number"
        raise DataError(f"{where} {unit} {numbers[bad[0]]} has {kind}; give finite numbers")
    return exact
