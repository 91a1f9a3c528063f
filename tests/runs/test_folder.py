"""Run folders, and which one a name refers to."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sritool.errors import CheckpointError, UsageError
from sritool.locks import Lock
from sritool.runs.folder import BEST, LAST, LOCK, find_checkpoint, new_run, newest_run


def checkpoint(folder: Path, *names: str, age: int = 0) -> Path:
    """A run folder with these files, last written `age` seconds ago."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
        os.utime(folder / name, (2_000_000_000 - age, 2_000_000_000 - age))
    return folder


def test_new_runs_get_their_own_folders(tmp_path: Path) -> None:
    wanted = tmp_path / "runs" / "tiny-sri"
    made = [new_run(wanted) for _ in range(3)]
    assert [folder.name for folder, _ in made] == ["tiny-sri", "tiny-sri-2", "tiny-sri-3"]
    (tmp_path / "runs" / "tiny-lm").touch()
    assert new_run(tmp_path / "runs" / "tiny-lm")[0].name == "tiny-lm-2"


def test_folders_of_other_users_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a shared folder of runs, some are unreadable and others not writable."""
    mine = checkpoint(tmp_path / "tiny-lm", LAST, age=50)
    unreadable, unwritable = checkpoint(tmp_path / "tiny-sri", LAST), checkpoint(tmp_path / "tiny-sri-2")
    (unwritable / LOCK).write_text("elsewhere 12 now")
    real_open, real_stat, real_iterdir = os.open, Path.stat, Path.iterdir

    def refuse(path: Path, *owners: Path) -> None:
        if path.parent in owners:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def open_(path: Path, *args: int) -> int:
        refuse(Path(path), unreadable, unwritable)
        return real_open(path, *args)

    def stat(path: Path, **kwargs: bool) -> os.stat_result:
        refuse(path, unreadable)
        return real_stat(path, **kwargs)

    def iterdir(path: Path) -> Iterator[Path]:
        refuse(path / LOCK, unreadable)
        return real_iterdir(path)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert newest_run(tmp_path) == mine
    assert new_run(tmp_path / "tiny-sri")[0].name == "tiny-sri-3"


def test_run_folder_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="give another with --runs-dir") as caught:
        new_run(tmp_path / "file" / "run")
    assert "\n" not in str(caught.value)


def test_newest_run_was_written_last(tmp_path: Path) -> None:
    assert newest_run(tmp_path / "none") is None
    assert newest_run(tmp_path) is None
    old = checkpoint(tmp_path / "z-sri", BEST, LAST, age=50)
    checkpoint(tmp_path / "empty")
    (tmp_path / "a-file").touch()
    assert newest_run(tmp_path) == old
    new = checkpoint(tmp_path / "a-sri", LAST, age=10)
    assert newest_run(tmp_path) == new
    os.utime(old / BEST, (2_000_000_000, 2_000_000_000))
    assert newest_run(tmp_path) == old


def test_run_name_matches_numbered_runs_only(tmp_path: Path) -> None:
    first = checkpoint(tmp_path / "tiny-sri", LAST, age=50)
    checkpoint(tmp_path / "tiny-sri-warm", LAST, age=5)
    checkpoint(tmp_path / "my-tiny-sri", LAST, age=4)
    assert newest_run(tmp_path, "tiny-sri") == first
    second = checkpoint(tmp_path / "tiny-sri-2", LAST, age=20)
    assert newest_run(tmp_path, "tiny-sri") == second
    assert newest_run(tmp_path, "tiny") is None
    assert newest_run(tmp_path, "t.*") is None


def test_checkpoint_by_file_folder_name_or_default(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    both = checkpoint(runs / "both", BEST, LAST, age=9)
    last = checkpoint(runs / "last", LAST, age=30)
    assert find_checkpoint(both, runs) == both / BEST
    assert find_checkpoint(last, runs) == last / LAST
    assert find_checkpoint(both / LAST, runs) == both / LAST
    assert find_checkpoint(Path("last"), runs) == last / LAST
    assert find_checkpoint(None, runs) == both / BEST


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "start one with: sritool train tiny"),
        ("none.pt", "give a .pt file or a run folder"),
        (".", "no best.pt or last.pt in"),
    ],
)
def test_no_checkpoint(given: str | None, words: str, tmp_path: Path) -> None:
    path = None if given is None else tmp_path / given
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(path, tmp_path / "runs")
    assert words in str(caught.value)
    assert caught.value.exit_code == 3


def test_looking_at_the_lock_of_a_killed_run_leaves_its_name_to_the_next_one(tmp_path: Path) -> None:
    """A process that is killed leaves its lock's file, by which a run that saved nothing is known."""
    killed = checkpoint(tmp_path / "queue", LOCK)
    assert Lock(killed / LOCK).is_free()
    folder, held = new_run(killed)
    assert folder == killed
    assert held is not None
    assert not Lock(killed / LOCK).is_free()
