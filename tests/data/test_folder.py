"""A staged folder is there whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sritool.data import folder as folders
from sritool.data.folder import recover, staged
from sritool.errors import SritoolError


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


def dead_process() -> int:
    """The number of a process that has ended."""
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return int(ended.stdout)


@pytest.fixture(params=["exchange", "two renames"], autouse=True)
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "two renames":
        monkeypatch.setattr(folders, "_exchange", lambda one, other: False)


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


def test_taking_the_folder_away_calls_the_writing_off(tmp_path: Path) -> None:
    target = tmp_path / "corpus"
    write(target, "old")
    with staged(target) as folder:
        folder.rmdir()
    assert content(target) == "old"


def test_a_failing_swap_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "corpus"
    write(target, "old")
    rename = Path.rename

    def fail(self: Path, other: Path) -> Path:
        if ".new-" in self.name:
            raise OSError(28, "No space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", fail)
    monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    with pytest.raises(SritoolError, match=r"No space left on device.*--data-dir"):
        write(target, "new")
    assert content(target) == "old"


def test_leavings_of_dead_runs_are_cleared_and_of_live_ones_not(tmp_path: Path) -> None:
    target = tmp_path / "corpus"
    host = folders.socket.gethostname()
    dead = f"{host}-{dead_process()}-0"
    for name in (f".corpus.new-{dead}", f".corpus.old-{dead}", f".other.new-{dead}"):
        (tmp_path / name).mkdir()
    write(target, "old")
    strange = tmp_path / ".corpus.new-elsewhere-7-0"
    strange.mkdir()
    live = open_elsewhere(target)
    write(target, "new")
    there = {"corpus", f".other.new-{dead}", live.name, strange.name}
    assert {path.name for path in tmp_path.iterdir()} == there
    os.utime(strange, (0, 0))
    write(target, "again")
    assert {path.name for path in tmp_path.iterdir()} == there - {strange.name}


def open_elsewhere(target: Path) -> Path:
    """A folder that is being written: a lock is one's own only by its descriptor, not by the process."""
    return folders._begin(target)[0]


def test_without_locks_the_processes_in_the_names_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "take", lambda descriptor, wait=False: None)
    target, host = tmp_path / "corpus", folders.socket.gethostname()
    dead, live = f".corpus.new-{host}-{dead_process()}-0", f".corpus.new-{host}-{os.getppid()}-0"
    for name in (dead, live):
        (tmp_path / name).mkdir()
    write(target, "new")
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", live}


def test_two_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "corpus"
    with staged(target) as first:
        write(target, "second")
        assert first.is_dir()
        (first / "part").mkdir()
        (first / "part" / "file").write_text("first")
    assert content(target) == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


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
    monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
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
    target.rename(tmp_path / f".corpus.old-{folders.socket.gethostname()}-{dead_process()}")
    recover(target)
    assert content(target) == "old"
    recover(tmp_path / "nothing" / "there")


def test_a_parent_that_cannot_be_written_to_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SritoolError, match=r"^cannot write in .*; choose another folder with --data-dir$"):
        write(tmp_path / "file" / "corpus", "new")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_process_leaves_the_old_folder_or_the_new(tmp_path: Path, moment: str) -> None:
    target = tmp_path / "corpus"
    write(target, "old")
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from sritool.data import folder\n"
        "swap = folder._swap\n"
        "def killed(new, target):\n"
        f"    if {moment == 'after'}: folder._exchange(new, target) or swap(new, target)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "folder._swap = killed\n"
        "with folder.staged(Path(sys.argv[1])) as new:\n"
        "    (new / 'part').mkdir()\n"
        "    (new / 'part' / 'file').write_text('new')\n"
    )
    root = Path(folders.__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", program, str(target)], env=os.environ | {"PYTHONPATH": str(root)}, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert content(target) == ("new" if moment == "after" else "old")
    assert {path.name[:12] for path in tmp_path.iterdir()} == {"corpus", ".corpus.new-", ".corpus.lock"}
    write(target, "newer")
    assert content(target) == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
