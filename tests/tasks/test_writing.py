"""Files are whole: the old one stands until the new one is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sritool.errors import UsageError
from sritool.tasks.writing import write_whole


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"new"
        raise OSError(28, "No space left on device")

    target = tmp_path / "codes.tsv"
    write_whole(target, [b"o", b"ld"])
    with pytest.raises(UsageError, match=r"cannot write .*codes.tsv: No space left on device; give another"):
        write_whole(target, broken())
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_is_there_before_the_disk_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    page = tmp_path / "page.html"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device"):
        write_whole(page, [b"new"])
    assert not list(tmp_path.iterdir())


def test_a_link_goes_on_pointing_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "page.html"
    link.symlink_to(tmp_path / "real" / "page.html")
    write_whole(link, [b"new"])
    assert link.is_symlink()
    assert (tmp_path / "real" / "page.html").read_bytes() == b"new"


def test_a_device_stays_one() -> None:
    write_whole(Path(os.devnull), [b"new"])
    assert not Path(os.devnull).is_file()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_whole(tmp_path / "none" / "codes.tsv", [b""])
