"""Disks that are full, read-only or gone, folders that vanish, unreadable files, and odd names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import sritool
from faults.harness.scene import check_checkpoint, preprocess, sentences, train
from faults.harness.zygote import Done, Running
from sritool.runs.checkpoint import load_checkpoint

NOBODY = 65534 if os.getuid() == 0 else None  # permissions do not bind root
ENDLESS = ("--epochs", 1_000_000, "--save-every", 2, "--name", "long")
TRAIN = train("sri")
RUN = "runs/mine-sri"
FEW = ("--limit", 4, "--threads", 1)


class Writer(NamedTuple):
    """A command that writes a file, and that file."""

    args: tuple[object, ...]
    file: str


WRITERS = {
    "encode -o": Writer(("encode", RUN, "--text", "lines.txt", "-o", "codes.npy"), "codes.npy"),
    "plot -o": Writer(("plot", "curves", RUN, "-o", "curves.svg"), "curves.svg"),
    "plot latent -o": Writer(
        ("plot", "latent", RUN, "--split", "train", "--limit", 24, "-o", "map.png"), "map.png"
    ),
    "report -o": Writer(("report", RUN, "-o", "page.html", "--map-sentences", 12, *FEW), "page.html"),
    "noisy-recon": Writer(("noisy-recon", RUN, "--write-noisy", "noisy.jsonl", *FEW), "noisy.jsonl"),
    "tune-step": Writer(
        ("tune-step", RUN, "--limit", 2, "--chains", 8, "--write", "tuned.pt", "--force"), "tuned.pt"
    ),
}
CACHED = {
    "evaluate": ("evaluate", RUN, "--metrics", "nll,recon", "--samples", 4, *FEW),
    "encode": ("encode", RUN, "--text", "lines.txt"),
}


@pytest.fixture
def place(lab: Any, tmp_path: Path) -> Path:
    """A folder with the texts, the corpus and the run of the laboratory."""
    folder = tmp_path / "place"
    shutil.copytree(lab.folder / "base", folder)
    return folder


@pytest.fixture
def small_disk(lab: Any, tmp_path: Path) -> Iterator[Path]:
    """The same folder on a disk of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a disk needs root")
    try:
        shutil.copytree(lab.folder / "base", folder, dirs_exist_ok=True)
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def tree(folder: Path) -> dict[str, bytes]:
    """All files except locks and caches."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if path.name != "evaluations.jsonl" and path.parent.name != "latents"
    }


def limited(zygote: Any, args: tuple[object, ...], cwd: Path, size: int) -> Done:
    """Run a command whose files cannot grow beyond a size, except for what it prints."""
    read, write = os.pipe()
    out, into = os.pipe()
    running = zygote.start(args, cwd=cwd, file_size=size, stderr=write, stdout=into)
    os.close(write)
    os.close(into)
    said: dict[int, str] = {}

    def take(descriptor: int) -> None:
        with os.fdopen(descriptor, encoding="utf-8") as stream:
            said[descriptor] = stream.read()

    readers = [threading.Thread(target=take, args=(descriptor,)) for descriptor in (read, out)]
    for reader in readers:
        reader.start()
    done: Done = running.wait()
    for reader in readers:
        reader.join()
    return done._replace(out=said[out], err=said[read])


def refused(done: Done, code: int, *parts: str) -> None:
    """Check that the last line, and no other, is an error with these parts."""
    lines = done.err.splitlines()
    assert done.code == code, done.err
    assert [line.startswith("error: ") for line in lines].count(True) == 1, done.err
    assert lines[-1].startswith("error: ")
    assert all(part in lines[-1] for part in parts), lines[-1]
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", WRITERS)
def test_output_on_a_full_disk(zygote: Any, place: Path, name: str) -> None:
    writer = WRITERS[name]
    (place / writer.file).write_bytes(b"older")
    before = tree(place)
    done = limited(zygote, writer.args, place, 100)
    refused(done, 1, writer.file, "File too large; free some space")
    assert len(done.err.splitlines()) == 1  # before any work
    assert tree(place) == before


def test_output_that_grows_beyond_the_disk(zygote: Any, place: Path) -> None:
    writer = WRITERS["plot latent -o"]
    (place / writer.file).write_bytes(b"older")
    before = tree(place)
    refused(limited(zygote, writer.args, place, 4096), 1, writer.file, "File too large; free some space")
    assert tree(place) == before


def test_preprocess_on_a_full_disk(zygote: Any, place: Path) -> None:
    before = tree(place)
    for size in (0, 600):
        refused(
            limited(zygote, preprocess("other", "--force"), place, size), 1, "File too large", "--data-dir"
        )
        assert tree(place) == before


@pytest.mark.parametrize("name", CACHED)
def test_full_disk_for_a_cache_is_no_failure(zygote: Any, place: Path, name: str) -> None:
    shutil.rmtree(place / RUN / "latents", ignore_errors=True)
    done = limited(zygote, CACHED[name], place, 0)
    whole = zygote.run((*CACHED[name], *(["--again"] if name == "evaluate" else [])), cwd=place)
    assert (done.code, done.out) == (0, whole.out), done.err


@pytest.mark.parametrize("size", [0, 2500])
def test_new_training_on_a_full_disk(zygote: Any, place: Path, size: int) -> None:
    before = tree(place)
    refused(
        limited(zygote, (*TRAIN, "--name", "new"), place, size),
        1,
        "cannot write runs/new/",
        "free some space",
    )
    assert tree(place) == before
    assert not (place / "runs" / "new").exists()


def test_training_resumes_after_a_full_disk(zygote: Any, small_disk: Path) -> None:
    running = start_endless(zygote, small_disk)
    with (small_disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(512))
        except OSError:
            pass
    done = running.wait()
    refused(done, 1, "cannot write runs/long/", "No space left on device", "runs/long/last.pt", "--resume")
    run = small_disk / "runs" / "long"
    step = load_checkpoint(run / "last.pt").progress.step
    check_checkpoint(run / "best.pt")
    assert not list(run.glob(".*.tmp"))
    (small_disk / "filler").unlink()
    again = zygote.run(train("sri", *ENDLESS, "--resume", "--max-steps", step + 3), cwd=small_disk)
    assert (again.code, load_checkpoint(run / "last.pt").progress.step) == (0, step + 3), again.err


def start_endless(zygote: Any, cwd: Path) -> Running:
    """Start an endless training and wait until it has saved."""
    running: Running = zygote.start(train("sri", *ENDLESS), cwd=cwd)
    running.until(lambda: "epoch 2/" in running.errors())
    return running


def remove_runs(place: Path) -> None:
    """Move the folder of all runs away."""
    (place / "runs").rename(place.parent / "elsewhere")


def replace_runs_by_a_file(place: Path) -> None:
    """Put a file in the place of the folder of all runs."""
    remove_runs(place)
    (place / "runs").write_text("a file", encoding="utf-8")


def replace_last_by_a_folder(place: Path) -> None:
    """Put a folder in the place of last.pt."""
    last = place / "runs" / "long" / "last.pt"
    last.unlink()
    last.mkdir()


@pytest.mark.parametrize("damage", [remove_runs, replace_runs_by_a_file, replace_last_by_a_folder])
def test_run_folder_that_vanishes(zygote: Any, place: Path, damage: Callable[[Path], None]) -> None:
    running = start_endless(zygote, place)
    damage(place)
    refused(running.wait(), 1, "cannot write runs/long/")


def test_training_outlives_its_corpus(zygote: Any, place: Path) -> None:
    running = start_endless(zygote, place)
    shutil.rmtree(place / "data")
    last = place / "runs" / "long" / "last.pt"
    saved = last.stat().st_mtime_ns
    running.until(lambda: last.stat().st_mtime_ns != saved)
    running.send(15)
    assert running.wait().code == 143


@pytest.mark.parametrize("args", [("info", RUN), ("--version",)])
def test_current_folder_that_is_gone(tmp_path: Path, args: tuple[str, ...]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = "import os, runpy, sys; os.rmdir(os.getcwd()); runpy.run_module('sritool', run_name='__main__')"
    environment = os.environ | {"PYTHONPATH": str(Path(sritool.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        cwd=gone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if args == ("--version",):
        assert (done.returncode, done.stdout, done.stderr) == (0, f"sritool {sritool.__version__}\n", "")
    else:
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "the current folder" in done.stderr


def replace_file(path: Path, make: Callable[[Path], None]) -> None:
    """Replace a file by what `make` creates."""
    if path.is_file():
        path.unlink()
        make(path)


READ_ONLY = "read-only"
PLACES: dict[str, Callable[[Path], object]] = {
    READ_ONLY: lambda path: path.chmod(0o555 if path.is_dir() else 0o444),
    "unreadable files": lambda path: path.is_file() and path.chmod(0),
    "broken links": lambda path: replace_file(path, lambda name: name.symlink_to("/nowhere/at/all")),
    "links to themselves": lambda path: replace_file(path, lambda name: name.symlink_to(name.name)),
    "folders in place of files": lambda path: replace_file(path, Path.mkdir),
}


@pytest.mark.parametrize("damage", PLACES)
def test_unusable_files_and_folders(zygote: Any, place: Path, damage: str) -> None:
    writers = [WRITERS[name].args for name in ("encode -o", "plot -o")]
    args = [*writers, CACHED["evaluate"], TRAIN, preprocess("other", "--force")]
    if NOBODY is not None:
        for path in (place, *place.parents[:3]):
            path.chmod(0o755)
    for path in [*place.rglob("*"), place]:
        PLACES[damage](path)
    names = sorted(str(path) for path in place.rglob("*"))
    for one in args:
        done = zygote.run(one, cwd=place, user=NOBODY)
        assert done.err.splitlines()[-1].isprintable()
        if damage == READ_ONLY and one in CACHED.values():
            assert done.code == 0, done.err
        else:
            assert done.code in (1, 2, 3), (one, done.err)
            refused(done, done.code)
        assert "Error" not in done.err, done.err
    assert sorted(str(path) for path in place.rglob("*")) == names
    for path in [place, *place.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)


@pytest.mark.parametrize(
    "name",
    [
        *("with space", "two\nlines", "esc\x1b[31m", "$HOME", "b" * 250),
        pytest.param(
            os.fsdecode(b"\xff\xfe"),
            marks=pytest.mark.skipif(sys.platform == "darwin", reason="such a name is impossible there"),
        ),
    ],
    ids=ascii,
)
def test_odd_names(zygote: Any, place: Path, name: str) -> None:
    (place / RUN).rename(place / "runs" / name)
    text = Path(f"./{name}.txt")
    (place / text).write_text("\n".join(sentences(3, 1)), encoding="utf-8")
    for args, there in (
        (("encode", f"runs/{name}", "--text", text, "-o", f"./{name}.npy"), f"{name}.npy"),
        (("plot", "curves", f"runs/{name}", "-o", f"./{name}.svg"), f"{name}.svg"),
    ):
        done = zygote.run(args, cwd=place)
        assert done.code == 0, done.err
        assert (place / there).stat().st_size > 0
    assert not list(place.rglob("*.tmp"))


def test_name_that_is_too_long(zygote: Any, place: Path) -> None:
    long = "c" * 256
    refused(
        zygote.run(("encode", RUN, "-o", long), cwd=place, stdin=b"a\n"), 2, "File name too long; give a file"
    )
    refused(zygote.run(("sample", f"runs/{long}"), cwd=place), 1, "File name too long", "give a shorter name")
