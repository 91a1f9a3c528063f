"""A staged folder is complete or absent, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sritool import locks
from sritool.data.staged_folder import recover, staged
from sritool.errors import SritoolError
from sritool.locks import Lock


def write(target: Path, text: str) -> None:
    with staged(target) as folder:
        (folder / "part").mkdir()
        (folder / "part" / "file").write_text(text)


def write_half(target: Path, error: type[BaseException]) -> None:
    with staged(target) as folder:
        (folder / "file").write_text("half")
        raise error


def content(target: Path) -> str:
    return (target / "part" / "file").read_text()


@pytest.mark.parametrize("call", ["gethostname", "remove_open"])
def test_ctrl_c_around_the_lock_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    module: ModuleType = socket if call == "gethostname" else locks
    real, calls = getattr(module, call), []

    def interrupted_once(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, call, interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "corpus", "new")
    assert calls
    assert not [*tmp_path.iterdir()]


def test_writing_twice(tmp_path: Path) -> None:
    target = tmp_path / "new" / "corpus"
    write(target, "old")
    write(target, "new")
    assert content(target) == "new"
    assert [path.name for path in target.parent.iterdir()] == ["corpus"]


def test_exception_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "new" / "corpus"
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            write_half(target, error)
        assert not target.parent.exists()
    write(target, "old")
    with pytest.raises(ValueError):  # noqa: PT011 - raised by write_half
        write_half(target, ValueError)
    assert content(target) == "old"
    assert [path.name for path in target.parent.iterdir()] == ["corpus"]


def test_failed_swap_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "corpus"
    write(target, "old")
    rename = Path.rename

    def fail(self: Path, other: Path) -> Path:
        if ".new-" in self.name:
            raise OSError(28, "No space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(SritoolError, match=r"No space left on device.*--data-dir"):
        write(target, "new")
    assert content(target) == "old"


def test_leftovers_are_cleared_but_not_live_folders(tmp_path: Path) -> None:
    target = tmp_path / "corpus"
    write(target, "old")
    for name in (".corpus.new-0", ".corpus.old-0", ".other.new-0"):
        (tmp_path / name).mkdir()
    with staged(target) as live:
        (live / "part").mkdir()
        (live / "part" / "file").write_text("late")
        write(target, "new")
        assert {path.name for path in tmp_path.iterdir()} == {"corpus", ".other.new-0", live.name}
    assert content(target) == "late"


def test_without_locks_leftovers_are_told_by_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(self: Lock, wait: bool = False) -> bool:
        self.unsupported = True
        return True

    monkeypatch.setattr(Lock, "acquire", acquire)
    for name in (".corpus.new-0", ".corpus.new-1"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ".corpus.new-0", (0, 0))
    write(tmp_path / "corpus", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", ".corpus.new-1"}


def test_concurrent_result_is_seen_before_replacement(tmp_path: Path) -> None:
    target, seen = tmp_path / "corpus", []

    def settle(new: Path) -> bool:
        seen.append(((new / "file").read_text(), content(target)))
        return False

    with staged(target, settle) as first:
        (first / "file").write_text("first")
        write(target, "second")
    assert seen == [("first", "second")]
    assert content(target) == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_reader_waits_for_the_second_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it put the old folder back, that would block the new one."""
    target = tmp_path / "corpus"
    write(target, "old")
    rename, readers = Path.rename, []

    def watched(self: Path, other: Path) -> Path:
        if ".new-" in self.name:
            readers.append(threading.Thread(target=recover, args=(target,)))
            readers[0].start()
            readers[0].join(0.05)
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", watched)
    write(target, "new")
    readers[0].join(10)
    assert not readers[0].is_alive()
    assert content(target) == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_symlinked_folder_is_written_in_place(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    link = tmp_path / "corpus"
    link.symlink_to(tmp_path / "scratch" / "corpus")
    for text in ("old", "new"):
        write(link, text)
        assert link.is_symlink()
        assert content(tmp_path / "scratch" / "corpus") == text
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "scratch"}


def test_recover_restores_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "corpus"
    write(target, "old")
    target.rename(tmp_path / ".corpus.old-0")
    recover(target)
    assert content(target) == "old"
    recover(tmp_path / "nothing" / "there")


def test_unwritable_parent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SritoolError, match=r"^cannot write .*--data-dir"):
        write(tmp_path / "file" / "corpus", "new")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_asks_to_free_space(tmp_path: Path, number: int) -> None:
    with pytest.raises(SritoolError, match="free some space"), staged(tmp_path / "corpus"):
        raise OSError(number, os.strerror(number))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_killed_process_leaves_the_old_or_new_folder(
    tmp_path: Path, run_program: Callable[..., Any], moment: str
) -> None:
    target = tmp_path / "corpus"
    write(target, "old")
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from sritool.data import staged_folder as folder\n"
        "swap, rename = folder._swap, Path.rename\n"
        "def killed(new, target):\n"
        f"    if {moment == 'after'}: swap(new, target)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"if {moment != 'between'}: folder._swap = killed\n"
        "def renamed(old, new):\n"
        "    rename(old, new)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"if {moment == 'between'}: Path.rename = renamed\n"
        "with folder.staged(Path(sys.argv[1])) as new:\n"
        "    (new / 'part').mkdir()\n"
        "    (new / 'part' / 'file').write_text('new')\n"
    )
    assert run_program("-c", program, target).returncode == -signal.SIGKILL
    recover(target)
    assert content(target) == ("new" if moment == "after" else "old")
    write(target, "newer")
    assert content(target) == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
