"""One process at a time changes a run; a dead one keeps nobody out, and nobody is left with two halves."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from sritool import locks
from sritool.data.store import load_corpus
from sritool.errors import SritoolError, UsageError
from sritool.locks import Lock, holder_of
from sritool.runs.folder import BEST, CONFIG, LAST, LOCK, METRICS, hold, new_run, remove_unsaved
from sritool.training.plan import Start, plan_run


@pytest.fixture
def place(lab: Any, tmp_path: Path) -> Path:
    """A folder with a corpus `mine` and a run `mine-sri`."""
    return Path(shutil.copytree(lab.folder / "base", tmp_path / "place"))


def started(lab: Any, place: Path, *command: object, **env: str) -> Any:
    return lab.zygote.start(command, cwd=place, env=env)


def train(method: str, *more: object) -> tuple[object, ...]:
    from faults.harness.scene import train as command

    return command(method, *more)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK}


def test_a_second_process_is_refused(lab: Any, place: Path) -> None:
    folder = place / "runs" / "mine-sri"
    before = contents(folder)
    tune = ("tune-step", folder / LAST, "--limit", 1, "--chains", 4, "--force", "--threads", 1)
    with hold(folder):
        for command in (
            train("sri", "--resume"),
            train("sri", "--resume", "runs/mine-sri", "--epochs", 9),
            (*tune, "--write", folder / BEST),
        ):
            done = started(lab, place, *command).wait()
            assert done.code == 2
            assert done.out == ""
            assert done.err.startswith("error: ")
            assert done.err.count("\n") == 1
            assert f"mine-sri is in use by process {os.getpid()}, since 20" in done.err
            assert done.err.endswith(f"; wait until it has ended, or stop it with: kill {os.getpid()}\n")
        assert contents(folder) == before
        assert started(lab, place, *tune, "--write", "elsewhere.pt").wait().code == 0
    assert not (folder / LOCK).exists()
    assert started(lab, place, *train("sri", "--resume", "--epochs", 3)).wait().code == 0


def test_a_run_that_was_begun_and_not_saved_yet_is_not_begun_again(lab: Any, place: Path) -> None:
    shutil.rmtree(place / "runs")
    folder, lock = new_run(place / "runs" / "mine-sri")
    with lock:
        done = started(lab, place, *train("sri", "--resume")).wait()
        assert (done.code, done.out) == (2, "")
        assert f"mine-sri is in use by process {os.getpid()}" in done.err
        assert names(folder.parent) == {"mine-sri"}


def test_readers_need_no_lock(lab: Any, place: Path) -> None:
    folder = place / "runs" / "mine-sri"
    measure = ("evaluate", "runs/mine-sri", "--metrics", "recon", "--limit", 2, "--threads", 1)
    with hold(folder):
        for command in (("info", "runs/mine-sri"), ("sample", "-n", 2, "--threads", 1), measure):
            assert started(lab, place, *command).wait().code == 0
        assert str(os.getpid()) in (folder / LOCK).read_text()


def test_a_killed_process_keeps_nobody_out(lab: Any, place: Path) -> None:
    from faults.harness.killpoints import KILL_AT

    assert started(lab, place, *train("sri", "--resume", "--epochs", 3), **{KILL_AT: "40"}).wait().code == 137
    folder = place / "runs" / "mine-sri"
    assert (folder / LOCK).exists()
    done = started(lab, place, *train("sri", "--resume", "--epochs", 3)).wait()
    assert done.code == 0
    assert names(folder) == {BEST, LAST, CONFIG, METRICS}


def test_two_trainings_at_once_have_two_folders(lab: Any, place: Path) -> None:
    both = [started(lab, place, *train("lm")) for _ in range(2)]
    assert [process.wait().code for process in both] == [0, 0]
    for name in ("mine-lm", "mine-lm-2"):
        assert names(place / "runs" / name) == {BEST, LAST, CONFIG, METRICS}


def test_two_preparations_at_once_leave_one_whole_corpus(lab: Any, place: Path) -> None:
    from faults.harness.scene import preprocess

    shutil.rmtree(place / "data")
    same = [started(lab, place, *preprocess()) for _ in range(3)]
    assert [process.wait().code for process in same] == [0, 0, 0]
    first = load_corpus(place / "data" / "mine").info.content_hash
    assert names(place / "data") == {"mine"}
    others = [started(lab, place, *preprocess(text, "--force")) for text in ("other", "train", "other")]
    assert [process.wait().code for process in others] == [0, 0, 0]
    found = load_corpus(place / "data" / "mine")
    assert all(len(found.split(split)) for split in ("train", "valid", "test"))
    assert names(place / "data") == {"mine"}
    assert found.info.content_hash == first or len(found.split("train")) == 40


def test_what_another_process_prepared_meanwhile_is_not_replaced(
    lab: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faults.harness.scene import preprocess
    from sritool.data import preprocess as module
    from sritool.data.sources import FileOptions, file_source

    shutil.rmtree(place / "data")
    write = module.write_corpus

    def late(*given: Any) -> None:
        write(*given)
        assert started(lab, place, *preprocess("other")).wait().code == 0

    monkeypatch.setattr(module, "write_corpus", late)
    texts = {split: place / f"{split}.txt" for split in ("train", "valid", "test")}
    source = file_source(texts, FileOptions())
    with pytest.raises(UsageError, match="holds another corpus; replace it with --force"):
        module.preprocess_corpus("mine", source, data_dir=place / "data")
    assert names(place / "data") == {"mine"}
    info = load_corpus(place / "data" / "mine").info
    monkeypatch.undo()
    again = module.preprocess_corpus("mine", source, data_dir=place / "data", force=True)
    assert again.info.content_hash != info.content_hash


def test_a_run_goes_on_from_what_the_process_before_saved_last(lab: Any, place: Path) -> None:
    """It was looked at when that process was still at work."""
    start, runs, data = Start("mine", resume="runs/mine-sri"), place / "runs", place / "data"
    here = Path.cwd()
    os.chdir(place)
    try:
        plan = plan_run(start, runs, data)
        assert plan.resume is not None
        assert started(lab, place, *train("sri", "--resume", "--epochs", 3)).wait().code == 0
        with plan.open_folder(runs) as (opened, _, locked):
            assert locked
            assert opened.resume is not None
            assert opened.resume.progress["step"] == plan.resume.progress["step"] + 5
            assert opened.config.training.epochs == 3
    finally:
        os.chdir(here)


@pytest.mark.parametrize("there", [(), (LOCK,), (LOCK, CONFIG, METRICS, ".last.pt.0123abcd.tmp")])
def test_what_a_kill_left_before_anything_was_saved_is_taken_over(
    there: tuple[str, ...], tmp_path: Path
) -> None:
    wanted = tmp_path / "runs" / "mine-sri"
    wanted.mkdir(parents=True)
    for name in there:
        (wanted / name).write_text("half")
    folder, lock = new_run(wanted)
    assert folder == wanted
    assert names(folder) == {LOCK}
    assert new_run(wanted)[0].name == "mine-sri-2"  # the first one is held
    lock.release()


@pytest.mark.parametrize(
    "there",
    [(CONFIG,), ("notes.txt",), (LOCK, "notes.txt"), (LOCK, LAST), (LOCK, BEST, CONFIG), (LOCK, "latents")],
)
def test_a_folder_that_may_be_somebodys_is_not(there: tuple[str, ...], tmp_path: Path) -> None:
    wanted = tmp_path / "mine-sri"
    wanted.mkdir()
    for name in there:
        (wanted / name).write_text("kept")
    folder, lock = new_run(wanted)
    assert folder.name == "mine-sri-2"
    assert names(wanted) == set(there)
    assert remove_unsaved(folder, lock)
    assert names(tmp_path) == {"mine-sri"}


def test_one_that_fails_removes_its_own_folder_only(tmp_path: Path) -> None:
    first, first_lock = new_run(tmp_path / "run")
    second, second_lock = new_run(tmp_path / "run")
    (second / CONFIG).write_text("kept")
    assert remove_unsaved(first, first_lock)
    third, third_lock = new_run(tmp_path / "run")
    assert third == first
    assert names(tmp_path) == {"run", "run-2"}
    assert names(second) == {CONFIG, LOCK}
    second_lock.release()
    third_lock.release()


def test_a_lock_file_that_was_removed_under_ones_hands_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classical race: opened, then removed by its holder, then locked, while a third makes a new one."""
    path = tmp_path / LOCK
    first, second, third = Lock(path), Lock(path), Lock(path)
    assert first.acquire()
    take, raced = locks.lock_descriptor, []

    def race(descriptor: int, *, blocking: bool) -> bool:
        if not raced:
            raced.append(True)
            first.release()
            assert third.acquire()
        return take(descriptor, blocking=blocking)

    monkeypatch.setattr(locks, "lock_descriptor", race)
    assert not second.acquire()
    assert raced
    third.release()
    assert second.acquire()
    second.release()
    assert not path.exists()


def test_many_at_once_hold_a_lock_one_after_another(tmp_path: Path) -> None:
    """Threads are as good as processes: a lock is held by an open file."""
    path, inside, most, done = tmp_path / LOCK, [], [], []

    def work() -> None:
        for _ in range(100):
            lock = Lock(path)
            if lock.acquire(wait=len(done) % 2 == 0):
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                lock.release()
                done.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) >= 100
    assert max(most) == 1
    assert not path.exists()


def test_without_locks_a_run_goes_on_and_says_so(lab: Any, place: Path) -> None:
    from faults.harness.killpoints import NO_LOCKS

    done = started(lab, place, *train("lm", "--max-steps", 1), **{NO_LOCKS: "1"}).wait()
    assert done.code == 0
    line = (
        "runs/mine-lm is on a file system without locks: make sure that no other process works on this run\n"
    )
    assert line in done.err
    assert LOCK not in names(place / "runs" / "mine-lm")


def test_a_lock_is_not_inherited_and_not_written_through_a_link(tmp_path: Path) -> None:
    lock = Lock(tmp_path / LOCK)
    assert lock.acquire()
    assert lock._file is not None
    assert not os.get_inheritable(lock._file.fileno())
    lock.release()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / LOCK).symlink_to("precious")
    with pytest.raises(SritoolError, match=r"cannot write in .*; make the folder writable"):
        hold(tmp_path)
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize(
    "content", [b"", b"x" * 5000, b"host", b"\xff\xfe 1 today", b"host 1 to\x1bday", b"host one today"]
)
def test_what_is_no_holder_is_not_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(content)
    assert holder_of(tmp_path / LOCK).startswith("another process; ")
    assert holder_of(tmp_path / "none").startswith("another process; ")


def test_a_holder_on_another_machine_is_named_with_it(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("node7 123 2026-11-23 04:00:00 +0000")
    told = holder_of(tmp_path / LOCK)
    assert told.startswith("process 123 on node7, since 2026-11-23 04:00:00 +0000; ")
    assert "kill" not in told
