"""Files are whole: the old one stands until the new one is there."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sritool import files, locks
from sritool.files import append, whole_file, write_bytes, write_text
from sritool.locks import Lock
from support.program import small_settings

LEFT = ".codes.tsv.tmp"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"new"
        raise OSError(28, "No space left on device")

    target = tmp_path / "codes.tsv"
    write_bytes(target, [b"o", b"ld"])
    with pytest.raises(OSError, match="No space left on device"):
        write_bytes(target, broken())
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == {"codes.tsv"}


def test_nothing_is_there_before_the_disk_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_text(tmp_path / "page.html", "new")
    assert not names(tmp_path)


def test_file_then_name_then_folder_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another order a power cut could leave the new name with nothing in it."""
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        done.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().suffix)
        sync(descriptor)

    def replaced(self: Path, other: Path) -> Path:
        done.append("replace")
        return replace(self, other)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc that tells what a descriptor is of")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_text(tmp_path / "page.html", "new")
    assert done == ["sync .tmp", "replace", "sync "]


def test_a_file_system_that_syncs_nothing_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unknown)
    write_text(tmp_path / "page.html", "new")
    assert (tmp_path / "page.html").read_text() == "new"


def test_a_link_goes_on_pointing_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "page.html"
    link.symlink_to(tmp_path / "real" / "page.html")
    for text in ("first", "second"):
        write_text(link, text)
        assert link.is_symlink()
        assert (tmp_path / "real" / "page.html").read_text() == text
    assert names(tmp_path / "real") == {"page.html"}


def test_a_link_that_is_not_followed_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    link = tmp_path / "config.toml"
    for target in ("precious", "nothing", "config.toml"):  # the last one is a circle
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        write_text(link, "new", follow=False)
        assert not link.is_symlink()
        assert link.read_text() == "new"
    assert (tmp_path / "precious").read_text() == "precious"


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").is_symlink()


def test_a_device_stays_one() -> None:
    write_bytes(Path(os.devnull), [b"new"])
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("way", ["/dev/fd", "/proc/self/fd"])
def test_what_is_open_already_goes_on(tmp_path: Path, way: str) -> None:
    """As the shell has opened standard output with `>> FILE`: what it holds stays, and the writing goes on behind."""
    target = tmp_path / "log"
    target.write_text("before\n")
    descriptor = os.open(target, os.O_WRONLY | os.O_APPEND)
    try:
        write_text(Path(way) / str(descriptor), "new\n")
        os.write(descriptor, b"after\n")
    finally:
        os.close(descriptor)
    assert target.read_text() == "before\nnew\nafter\n"
    assert names(tmp_path) == {"log"}
    with pytest.raises(OSError, match="Bad file descriptor"):
        write_text(Path(way) / str(descriptor), "new\n")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_bytes(tmp_path / "none" / "codes.tsv", [b""])


def test_permissions_are_those_of_the_old_file_or_of_the_umask(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    target = tmp_path / "codes.tsv"
    write_text(target, "new")
    assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode
    for mode in (0o600, 0o664):
        target.chmod(mode)
        write_text(target, "again")
        assert target.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_file_that_is_protected_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "codes.tsv"
    target.write_text("kept")
    target.chmod(0o444)
    with pytest.raises(PermissionError):
        write_text(target, "new")
    assert target.read_text() == "kept"
    assert names(tmp_path) == {"codes.tsv"}


def test_the_longest_name_that_a_file_may_have(tmp_path: Path) -> None:
    for name in ("x" * 255, "ж" * 127):
        write_text(tmp_path / name, "new")
    assert names(tmp_path) == {"x" * 255, "ж" * 127}


def test_what_a_kill_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / LEFT).write_text("a longer half")
    write_text(tmp_path / "codes.tsv", "new")
    assert (tmp_path / "codes.tsv").read_text() == "new"
    assert names(tmp_path) == {"codes.tsv"}


@pytest.mark.parametrize("way", [Path.symlink_to, Path.hardlink_to])
def test_nothing_is_written_through_a_link_that_looks_like_a_leftover(way: Any, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    way(tmp_path / LEFT, tmp_path / "precious")
    write_text(tmp_path / "codes.tsv", "new")
    assert (tmp_path / "codes.tsv").read_text() == "new"
    assert (tmp_path / "precious").read_text() == "precious"


def test_what_another_process_is_writing_is_no_leftover(tmp_path: Path) -> None:
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


def test_a_temporary_file_that_is_renamed_under_ones_hands_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened, then renamed by the writer before, then locked: what is written would go into the finished file."""
    target, real, raced = tmp_path / "codes.tsv", locks.lock_descriptor, []

    def late(descriptor: int, *, blocking: bool) -> bool:
        if not raced:
            raced.append(True)
            (tmp_path / LEFT).replace(target)
        return real(descriptor, blocking=blocking)

    monkeypatch.setattr(locks, "lock_descriptor", late)
    with whole_file(target) as file:
        file.write(b"new")
        file.flush()
        assert raced
        assert target.read_bytes() == b""
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == {"codes.tsv"}


def without_fcntl(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program where Python has none of the modules that Windows lacks."""
    lacking = "import sys; sys.modules |= dict.fromkeys(('fcntl', 'termios', 'resource', 'pwd', 'grp'))\n"
    return subprocess.run(
        [sys.executable, "-c", lacking + program],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(files.__file__).parents[1])},
        check=False,
    )


def test_all_works_where_there_is_no_fcntl(tmp_path: Path) -> None:
    """As on Windows. Python without fcntl has no locks here, and each goes on without."""
    program = (
        "from pathlib import Path; from sritool.files import *; from sritool.locks import Lock\n"
        "from sritool.runs.folder import hold\n"
        "write_text(Path('a'), 'old'); write_text(Path('a'), 'new'); append(Path('a'), b' end')\n"
        "with hold(Path('.')) as lock:\n"
        "    print(lock.unsupported, Path('a').read_text(), *sorted(map(str, Path('.').iterdir())))"
    )
    done = without_fcntl(tmp_path, program)
    assert (done.stderr, done.stdout) == ("", "True new\n end a\n")


def test_commands_work_where_there_is_no_fcntl(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(small_settings(epochs=1))
    program = (
        "from sritool.cli.app import app\n"
        "def run(line): assert not app(line.split(), standalone_mode=False), line\n"
        "run('preprocess tiny')\n"
        "run('train tiny --config small.toml --set training.sentences=64 --threads 1 -q')\n"
        "run('evaluate --limit 4 --metrics ppl --samples 4 --pilots 4 -q')\n"
        "run('sample -n 2 --max-length 4')\n"
    )
    done = without_fcntl(tmp_path, program)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert "predictions" in done.stdout


def test_all_works_where_an_open_file_can_be_neither_renamed_nor_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, which is played here: each of these calls is refused while the file is open."""
    opened: list[Any] = []
    make, replace, unlink = open, Path.replace, Path.unlink

    def kept(*given: Any, **more: Any) -> Any:
        opened.append(make(*given, **more))
        return opened[-1]

    def refused(path: Path) -> None:
        assert all(file.closed or file.name != path for file in opened), path

    monkeypatch.setattr(locks, "open", kept, raising=False)
    for module in (files, locks):
        monkeypatch.setattr(module, "WINDOWS", True)
    monkeypatch.setattr(Path, "replace", lambda self, other: (refused(self), replace(self, other))[1])
    monkeypatch.setattr(Path, "unlink", lambda self, **given: (refused(self), unlink(self, **given))[1])
    write_text(tmp_path / "codes.tsv", "new")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "codes.tsv"):
        raise KeyboardInterrupt
    lock = Lock(tmp_path / "lock")
    assert lock.acquire()
    assert not Lock(tmp_path / "lock").acquire()
    lock.release()
    assert len(opened) == 4
    assert names(tmp_path) == {"codes.tsv"}


def test_an_exception_takes_the_temporary_file_along(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "codes.tsv") as file:  # noqa: PT012
        file.write(b"half")
        raise KeyboardInterrupt
    assert not names(tmp_path)


def test_what_is_appended_begins_on_a_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append(path, b"one\n")
    append(path, b"tw")  # a kill, or the end of a disk
    append(path, b"three\n", sync=False)
    assert path.read_bytes() == b"one\ntw\nthree\n"


def test_a_part_of_what_is_appended_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"x" * 4089 + b"\n")
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, bounds[1]))  # room for six bytes more
    try:
        with pytest.raises(OSError, match="No space left on device"):
            append(path, b"a longer line\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)
    assert path.stat().st_size == 4096


def test_nothing_is_appended_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "evaluations.jsonl").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic links"):
        append(tmp_path / "evaluations.jsonl", b"new\n")
    assert (tmp_path / "precious").read_text() == "precious"
