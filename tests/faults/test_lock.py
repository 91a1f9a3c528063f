"""Locks on runs and corpora: one process at a time changes them, and a dead process blocks nobody."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from faults.harness.killpoints import KILL_AT, NO_LOCKS
from faults.harness.scene import names, preprocess, train
from sritool import locks
from sritool.data import preprocess as module
from sritool.data.sources import FileOptions, file_source
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


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK}


def test_second_process_is_refused(lab: Any, place: Path) -> None:
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


def test_unsaved_run_in_use_is_not_started_again(lab: Any, place: Path) -> None:
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


def test_killed_process_blocks_nobody(lab: Any, place: Path) -> None:
    assert started(lab, place, *train("sri", "--resume", "--epochs", 3), **{KILL_AT: "40"}).wait().code == 137
    folder = place / "runs" / "mine-sri"
    assert (folder / LOCK).exists()
    done = started(lab, place, *train("sri", "--resume", "--epochs", 3)).wait()
    assert done.code == 0
    assert names(folder) == {BEST, LAST, CONFIG, METRICS}


def test_concurrent_trainings_have_separate_folders(lab: Any, place: Path) -> None:
    both = [started(lab, place, *train("lm")) for _ in range(2)]
    assert [process.wait().code for process in both] == [0, 0]
    for name in ("mine-lm", "mine-lm-2"):
        assert names(place / "runs" / name) == {BEST, LAST, CONFIG, METRICS}


def test_concurrent_preparations_leave_one_whole_corpus(lab: Any, place: Path) -> None:
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


def test_corpus_prepared_meanwhile_is_not_replaced(
    lab: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_run_resumes_from_the_latest_checkpoint(lab: Any, place: Path) -> None:
    """The plan is made while another process is still training the run."""
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
            assert opened.resume.progress.step == plan.resume.progress.step + 5
            assert opened.config.training.epochs == 3
    finally:
        os.chdir(here)


@pytest.mark.parametrize("there", [(), (LOCK,), (LOCK, CONFIG, METRICS, ".last.pt.0123abcd.tmp")])
def test_folder_of_a_run_killed_unsaved_is_reused(there: tuple[str, ...], tmp_path: Path) -> None:
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
def test_folder_with_other_files_is_not_reused(there: tuple[str, ...], tmp_path: Path) -> None:
    wanted = tmp_path / "mine-sri"
    wanted.mkdir()
    for name in there:
        (wanted / name).write_text("kept")
    folder, lock = new_run(wanted)
    assert folder.name == "mine-sri-2"
    assert names(wanted) == set(there)
    assert remove_unsaved(folder, lock)
    assert names(tmp_path) == {"mine-sri"}


def test_failed_run_removes_only_its_own_folder(tmp_path: Path) -> None:
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


def test_lock_file_removed_while_it_is_acquired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The classic race: opened, then removed by its holder and locked, while a third process makes a new file."""
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


def test_many_threads_hold_a_lock_one_at_a_time(tmp_path: Path) -> None:
    """Threads serve as well as processes, since a lock belongs to an open file."""
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


def test_file_system_without_locks_is_noted(lab: Any, place: Path) -> None:
    done = started(lab, place, *train("lm", "--max-steps", 1), **{NO_LOCKS: "1"}).wait()
    assert done.code == 0
    assert "runs/mine-lm is on a file system without locks: make sure" in done.err
    assert LOCK not in names(place / "runs" / "mine-lm")


def test_lock_is_neither_inherited_nor_written_via_link(tmp_path: Path) -> None:
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
def test_malformed_holder_is_not_shown(content: bytes, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(content)
    assert holder_of(tmp_path / LOCK).startswith("another process; ")
    assert holder_of(tmp_path / "none").startswith("another process; ")


def test_holder_on_another_machine_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("node7 123 2026-11-23 04:00:00 +0000")
    shown = holder_of(tmp_path / LOCK)
    assert shown.startswith("process 123 on node7, since 2026-11-23 04:00:00 +0000; ")
    assert "kill" not in shown
