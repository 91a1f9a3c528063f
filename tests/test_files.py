"""Atomic file writing: the old file stays until the new one is complete."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sritool import files, locks
from sritool.files import append, whole_file, write_bytes, write_text
from sritool.locks import Lock
from support.program import small_settings

LEFTOVER = ".codes.tsv.tmp"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"new"
        raise OSError(28, "No space left on device")

    target = tmp_path / "codes.tsv"
    write_bytes(target, [b"o", b"ld"])
    with pytest.raises(OSError, match="No space left on device"):
        write_bytes(target, broken())
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == {"codes.tsv"}


def test_failed_fsync_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_text(tmp_path / "page.html", "new")
    assert not names(tmp_path)


def test_sync_order_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any other order, a power cut could leave the new name with nothing in it."""
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        done.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().suffix)
        sync(descriptor)

    def replaced(self: Path, other: Path) -> Path:
        done.append("replace")
        return replace(self, other)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc to tell what a descriptor refers to")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_text(tmp_path / "page.html", "new")
    assert done == ["sync .tmp", "replace", "sync "]


def test_file_system_without_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unknown)
    write_text(tmp_path / "page.html", "new")
    assert (tmp_path / "page.html").read_text() == "new"


def test_symlink_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "page.html"
    link.symlink_to(tmp_path / "real" / "page.html")
    for text in ("first", "second"):
        write_text(link, text)
        assert link.is_symlink()
        assert (tmp_path / "real" / "page.html").read_text() == text
    assert names(tmp_path / "real") == {"page.html"}


def test_unfollowed_symlink_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    link = tmp_path / "config.toml"
    for target in ("precious", "nothing", "config.toml"):  # the last one points to itself
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        write_text(link, "new", follow=False)
        assert not link.is_symlink()
        assert link.read_text() == "new"
    assert (tmp_path / "precious").read_text() == "precious"


def test_symlink_loop_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").is_symlink()


def test_device_stays_a_device() -> None:
    write_bytes(Path(os.devnull), [b"new"])
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("descriptors", ["/dev/fd", "/proc/self/fd"])
def test_open_descriptor_is_appended_to(tmp_path: Path, descriptors: str) -> None:
    """Like standard output that the shell opened with `>> FILE`: its content stays, and new text is appended."""
    target = tmp_path / "log"
    target.write_text("before\n")
    descriptor = os.open(target, os.O_WRONLY | os.O_APPEND)
    try:
        write_text(Path(descriptors) / str(descriptor), "new\n")
        os.write(descriptor, b"after\n")
    finally:
        os.close(descriptor)
    assert target.read_text() == "before\nnew\nafter\n"
    assert names(tmp_path) == {"log"}
    with pytest.raises(OSError, match="Bad file descriptor"):
        write_text(Path(descriptors) / str(descriptor), "new\n")


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_bytes(tmp_path / "none" / "codes.tsv", [b""])


def test_permissions_follow_the_old_file_or_the_umask(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    target = tmp_path / "codes.tsv"
    write_text(target, "new")
    assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode
    for mode in (0o600, 0o664):
        target.chmod(mode)
        write_text(target, "again")
        assert target.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_protected_file_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "codes.tsv"
    target.write_text("kept")
    target.chmod(0o444)
    with pytest.raises(PermissionError):
        write_text(target, "new")
    assert target.read_text() == "kept"
    assert names(tmp_path) == {"codes.tsv"}


def test_longest_file_name(tmp_path: Path) -> None:
    for name in ("x" * 255, "ж" * 127):
        write_text(tmp_path / name, "new")
    assert names(tmp_path) == {"x" * 255, "ж" * 127}


def test_leftover_of_a_killed_process_is_reused(tmp_path: Path) -> None:
    (tmp_path / LEFTOVER).write_text("a longer half")
    write_text(tmp_path / "codes.tsv", "new")
    assert (tmp_path / "codes.tsv").read_text() == "new"
    assert names(tmp_path) == {"codes.tsv"}


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_link_posing_as_a_leftover_is_not_written_through(link: Any, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    link(tmp_path / LEFTOVER, tmp_path / "precious")
    write_text(tmp_path / "codes.tsv", "new")
    assert (tmp_path / "codes.tsv").read_text() == "new"
    assert (tmp_path / "precious").read_text() == "precious"


def test_file_in_progress_is_no_leftover(tmp_path: Path) -> None:
    target = tmp_path / "codes.tsv"
    program = (
        "import sys, pathlib, sritool.files as f\n"
        "with f.whole_file(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'slow')\n"
        "    print('writing', flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    root = Path(files.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", program, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        write_text(target, "fast")
        assert len(names(tmp_path)) == 2
        assert target.read_text() == "fast"
        writer.communicate("go on\n")
    assert writer.returncode == 0
    assert target.read_text() == "slow"
    assert names(tmp_path) == {"codes.tsv"}


def test_temporary_file_renamed_before_locking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another writer renames it between open and lock, writing on would change the finished file."""
    target, real, raced = tmp_path / "codes.tsv", locks.lock_descriptor, []

    def late(descriptor: int, *, blocking: bool) -> bool:
        if not raced:
            raced.append(True)
            (tmp_path / LEFTOVER).replace(target)
        return real(descriptor, blocking=blocking)

    monkeypatch.setattr(locks, "lock_descriptor", late)
    with whole_file(target) as file:
        file.write(b"new")
        file.flush()
        assert raced
        assert target.read_bytes() == b""
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == {"codes.tsv"}


# The modules that Windows lacks.
HIDE_FCNTL = "import sys; sys.modules |= dict.fromkeys(('fcntl', 'termios', 'resource', 'pwd', 'grp'))\n"


def test_writing_without_fcntl(run_program: Callable[..., Any]) -> None:
    """As on Windows: there are no locks without fcntl, and everything works without them."""
    program = (
        "from pathlib import Path; from sritool.files import *; from sritool.locks import Lock\n"
        "from sritool.runs.folder import hold\n"
        "write_text(Path('a'), 'old'); write_text(Path('a'), 'new'); append(Path('a'), b' end')\n"
        "with hold(Path('.')) as lock:\n"
        "    print(lock.unsupported, Path('a').read_text(), *sorted(map(str, Path('.').iterdir())))"
    )
    done = run_program("-c", HIDE_FCNTL + program)
    assert (done.stderr, done.stdout) == ("", "True new\n end a\n")


def test_commands_without_fcntl(tmp_path: Path, run_program: Callable[..., Any]) -> None:
    (tmp_path / "small.toml").write_text(small_settings(epochs=1))
    program = (
        "from sritool.cli.app import app\n"
        "def run(line): assert not app(line.split(), standalone_mode=False), line\n"
        "run('preprocess tiny')\n"
        "run('train tiny --config small.toml --set training.sentences=64 --threads 1 -q')\n"
        "run('evaluate --limit 4 --metrics ppl --samples 4 --pilots 4 -q')\n"
        "run('sample -n 2 --max-length 4')\n"
    )
    done = run_program("-c", HIDE_FCNTL + program)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert "predictions" in done.stdout


def test_open_files_are_neither_renamed_nor_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates Windows, which refuses these calls while the file is open."""
    opened: list[Any] = []
    make, replace, unlink = open, Path.replace, Path.unlink

    def kept(*args: Any, **kwargs: Any) -> Any:
        opened.append(make(*args, **kwargs))
        return opened[-1]

    def refused(path: Path) -> None:
        assert all(file.closed or file.name != path for file in opened), path

    monkeypatch.setattr(locks, "open", kept, raising=False)
    for module in (files, locks):
        monkeypatch.setattr(module, "WINDOWS", True)
    monkeypatch.setattr(Path, "replace", lambda self, other: (refused(self), replace(self, other))[1])
    monkeypatch.setattr(Path, "unlink", lambda self, **kwargs: (refused(self), unlink(self, **kwargs))[1])
    write_text(tmp_path / "codes.tsv", "new")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "codes.tsv"):
        raise KeyboardInterrupt
    lock = Lock(tmp_path / "lock")
    assert lock.acquire()
    assert not Lock(tmp_path / "lock").acquire()
    lock.release()
    assert len(opened) >= 4
    assert names(tmp_path) == {"codes.tsv"}


def test_lock_that_is_soon_released_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may only have looked whether it is free."""
    other = Lock(tmp_path / "lock")
    assert other.acquire()
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: other.release())
    with Lock(tmp_path / "lock") as lock:
        assert lock.acquire()


def test_exception_removes_the_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "codes.tsv") as file:  # noqa: PT012
        file.write(b"half")
        raise KeyboardInterrupt
    assert not names(tmp_path)


def test_append_starts_on_a_new_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append(path, b"one\n")
    append(path, b"tw")  # cut off by a kill or a full disk
    append(path, b"three\n", sync=False)
    assert path.read_bytes() == b"one\ntw\nthree\n"


def test_partial_append_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"x" * 4089 + b"\n")
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, bounds[1]))  # room for six more bytes
    try:
        with pytest.raises(OSError, match="No space left on device"):
            append(path, b"a longer line\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)
    assert path.stat().st_size == 4096


def test_append_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "evaluations.jsonl").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic links"):
        append(tmp_path / "evaluations.jsonl", b"new\n")
    assert (tmp_path / "precious").read_text() == "precious"
