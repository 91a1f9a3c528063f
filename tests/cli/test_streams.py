"""Standard streams to a closed pipe or a full disk."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sritool.cli.formats import Table
from sritool.cli.render import emit_parts
from sritool.cli.streams import Stderr, Stdout, write_bytes
from sritool.errors import SritoolError


def writing_to(kind: type[io.TextIOWrapper], path: str) -> io.TextIOWrapper:
    return kind(Path(path).open("wb"), "utf-8")


def without_reader(kind: type[io.TextIOWrapper]) -> io.TextIOWrapper:
    read, write = os.pipe()
    os.close(read)
    return kind(os.fdopen(write, "wb"), "utf-8")


def test_full_disk_is_reported_once() -> None:
    with writing_to(Stdout, "/dev/full") as stream:
        stream.write("lost")
        with pytest.raises(SritoolError, match="No space left on device") as error:
            stream.flush()
        assert error.value.exit_code == 1
        stream.write("more")
        stream.flush()


def test_closed_reader_is_not_an_error() -> None:
    with without_reader(Stdout) as stream:
        for _ in range(100):
            stream.write("x" * 10_000)
        stream.flush()


def test_printing_in_parts_ends_without_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def parts() -> Iterator[Table]:
        for number in range(10):
            made.append(number)
            yield Table("", ["n"], [[number]])

    with without_reader(Stdout) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        emit_parts(parts(), "tsv")
    assert made == [0]


@pytest.mark.parametrize("size", [1, 1_000_000])
def test_write_bytes_to_a_closed_or_full_stream(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    with without_reader(Stdout) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        write_bytes(b"x" * size)
    with writing_to(Stdout, "/dev/full") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SritoolError, match="cannot write the output"):
            write_bytes(b"x" * size)


def test_stderr_never_fails() -> None:
    for stream in (writing_to(Stderr, "/dev/full"), without_reader(Stderr)):
        with stream:
            for _ in range(100):
                stream.write("talk\n" * 1000)
                stream.flush()
