"""A staged folder is there whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sritool.corpus import folder as folders
from sritool.corpus.folder import recover, staged
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
    dead, live = dead_process(), os.getppid()
    for name in (f".corpus.new-{host}-{dead}", f".corpus.new-{host}-{live}", f".other.new-{host}-{dead}"):
        (tmp_path / name).mkdir()
    strange = tmp_path / ".corpus.new-elsewhere-7"
    strange.mkdir()
    write(target, "new")
    assert {path.name for path in tmp_path.iterdir()} == {
        "corpus", f".corpus.new-{host}-{live}", f".other.new-{host}-{dead}", strange.name
    }  # fmt: skip
    os.utime(strange, (0, 0))
    write(target, "again")
    assert not strange.exists()


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
        "from sritool.corpus import folder\n"
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
    assert len(list(tmp_path.iterdir())) == 2
    write(target, "newer")
    assert content(target) == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
