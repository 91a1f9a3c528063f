"""A staged folder is there whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from sritool import locks
from sritool.data import staged_folder as folders
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
def test_ctrl_c_while_the_lock_is_taken_or_released_leaves_nothing(
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


def test_first_and_second_writing(tmp_path: Path) -> None:
    target = tmp_path / "new" / "corpus"
    write(target, "old")
    write(target, "new")
    assert content(target) == "new"
    assert [path.name for path in target.parent.iterdir()] == ["corpus"]


def test_an_exception_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "new" / "corpus"
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            write_half(target, error)
        assert not target.parent.exists()
    write(target, "old")
    with pytest.raises(ValueError):  # noqa: PT011 - our own, a line above
        write_half(target, ValueError)
    assert content(target) == "old"
    assert [path.name for path in target.parent.iterdir()] == ["corpus"]


def test_a_failing_swap_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_leftovers_of_killed_runs_are_cleared_and_what_is_being_written_is_not(tmp_path: Path) -> None:
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


def test_without_locks_only_age_tells_what_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(self: Lock, wait: bool = False) -> bool:
        self.unsupported = True
        return True

    monkeypatch.setattr(Lock, "acquire", acquire)
    for name in (".corpus.new-0", ".corpus.new-1"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ".corpus.new-0", (0, 0))
    write(tmp_path / "corpus", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", ".corpus.new-1"}


def test_what_was_written_meanwhile_is_seen_before_it_is_replaced(tmp_path: Path) -> None:
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


def test_a_reader_between_two_renames_waits_for_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Putting the old folder back then would stand in the way of the new one."""
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


def test_a_folder_behind_a_link_is_written_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    link = tmp_path / "corpus"
    link.symlink_to(tmp_path / "scratch" / "corpus")
    for text in ("old", "new"):
        write(link, text)
        assert link.is_symlink()
        assert content(tmp_path / "scratch" / "corpus") == text
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "scratch"}


def test_the_old_folder_is_put_back_where_a_killed_run_had_moved_it_aside(tmp_path: Path) -> None:
    target = tmp_path / "corpus"
    write(target, "old")
    target.rename(tmp_path / ".corpus.old-0")
    recover(target)
    assert content(target) == "old"
    recover(tmp_path / "nothing" / "there")


def test_a_parent_that_cannot_be_written_to_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SritoolError, match=r"^cannot write .*; give another folder with --data-dir$"):
        write(tmp_path / "file" / "corpus", "new")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_to_be_cleared(tmp_path: Path, number: int) -> None:
    with pytest.raises(SritoolError, match="free some space"), staged(tmp_path / "corpus"):
        raise OSError(number, os.strerror(number))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_killed_process_leaves_the_old_folder_or_the_new(tmp_path: Path, moment: str) -> None:
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
    root = Path(folders.__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", program, str(target)], env=os.environ | {"PYTHONPATH": str(root)}, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    recover(target)
    assert content(target) == ("new" if moment == "after" else "old")
    write(target, "newer")
    assert content(target) == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
