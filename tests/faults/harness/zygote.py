"""The program as real processes without its two seconds of imports: forks of one that has imported everything.

A fork has file descriptors, a folder, limits and a user of its own, and opens and closes its standard streams as the
interpreter does at its start and its end. Only what happens while modules are imported, or taken down, needs a
process from the very beginning.

    with Zygote() as zygote:
        done = zygote.run(["sample", "runs/tiny-sri"], stdout=full, cwd=folder)
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import sritool
from faults.harness.killpoints import arm

CLOSED = -1
"""Instead of a file descriptor: the stream is closed, as a shell's `>&-` does it."""

WARM = (
    "torch", "torch._dynamo", "numpy", "sklearn.svm", "sklearn.mixture", "sklearn.manifold", "scipy.optimize",
    "datasets", "pyarrow", "sentencepiece", "rich.progress", "rich.console", "matplotlib.figure",
    "matplotlib.backends.backend_agg", "sacrebleu", "plotly.graph_objects", "torch.utils.serialization")  # fmt: skip
"""Modules that the first process imports, as far as they are installed, beside those of the program."""


class Done(NamedTuple):
    """How a process ended."""

    code: int  # as the shell has it: 128 + the signal that killed it
    out: str
    err: str


class Running:
    """A process of the program; `pid` is its own."""

    def __init__(self, line: socket.socket, out: BinaryIO | None, err: BinaryIO | None) -> None:
        self._line, self._out, self._err = line, out, err
        self.pid = int(_receive(line)["pid"])

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def errors(self) -> str:
        """What it has said on stderr so far."""
        return _content(self._err)

    def wait(self, seconds: float = 60.0) -> Done:
        """Wait for its end; it is killed where it has not ended in this time, and TimeoutError is raised."""
        self._line.settimeout(seconds)
        try:
            code = int(_receive(self._line)["code"])
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            raise TimeoutError(f"it runs for {seconds:.0f} s; it said: {self.errors()}") from None
        finally:
            self._line.close()
        return Done(code, _content(self._out), _content(self._err))


class Zygote:
    """Starts processes of the program; a context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="zygote-")
        self._address = str(Path(self._folder.name) / "socket")

    def __enter__(self) -> Self:
        roots = [str(Path(file).parents[level]) for file, level in ((sritool.__file__, 1), (__file__, 2))]
        path = os.pathsep.join(filter(None, [*roots, os.environ.get("PYTHONPATH", "")]))
        command = [sys.executable, "-m", "faults.harness.zygote", self._address]
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        if not os.access(Path("~").expanduser(), os.W_OK):
            # matplotlib would make a folder, which each fork would remove at its end
            environment["MPLCONFIGDIR"] = self._folder.name
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the first process did not come up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def start(
        self,
        args: Sequence[object],
        *,
        cwd: Path,
        stdin: bytes | int = b"",
        stdout: int | None = None,
        stderr: int | None = None,
        env: Mapping[str, str | None] | None = None,
        encoding: str = "utf-8",
        file_size: int | None = None,
        user: int | None = None,
        terminal: bool = False,
    ) -> Running:
        """Start `sritool ARGS`.

        Args:  stdin: its content, or a descriptor; stdout, stderr: a descriptor, CLOSED, or None to have it in
               `Done`; env: variables to set, or with None to remove; encoding: of the locale; file_size: the most
               bytes of a file, as `ulimit -f` bounds it; user: number of the user it runs as; terminal: stdout or
               else stderr becomes its controlling terminal.
        """
        with contextlib.ExitStack() as stack:
            if isinstance(stdin, bytes):
                file = stack.enter_context(tempfile.TemporaryFile())
                file.write(stdin)
                file.seek(0)
                stdin = file.fileno()
            out = tempfile.TemporaryFile() if stdout is None else None  # noqa: SIM115 - read when it has ended
            err = tempfile.TemporaryFile() if stderr is None else None  # noqa: SIM115
            given = [stdin, stdout if out is None else out.fileno(), stderr if err is None else err.fileno()]
            line = socket.socket(socket.AF_UNIX)
            line.connect(self._address)
            request = {
                "args": [os.fsencode(str(arg)).decode("latin-1") for arg in args],
                "cwd": os.fsencode(cwd).decode("latin-1"),
                "env": dict(env or {}),
                "streams": [number != CLOSED for number in given],
                "encoding": encoding,
                "file_size": file_size,
                "user": user,
                "terminal": terminal,
            }
            content = json.dumps(request).encode()
            socket.send_fds(
                line, [len(content).to_bytes(8, "little")], [fd for fd in given if fd is not None and fd >= 0]
            )
            line.sendall(content)
            return Running(line, out, err)

    def run(self, args: Sequence[object], seconds: float = 60.0, **settings: Any) -> Done:
        """Run `sritool ARGS` to its end; the settings are those of `start`."""
        return self.start(args, **settings).wait(seconds)


def _content(file: BinaryIO | None) -> str:
    if file is None:
        return ""
    file.seek(0)
    return file.read().decode("utf-8", "backslashreplace")


def _receive(line: socket.socket) -> dict[str, Any]:
    """A message of one line of JSON."""
    content = b""
    while not content.endswith(b"\n"):
        byte = line.recv(1)
        if not byte:
            raise RuntimeError("the process went without a word")
        content += byte
    return dict(json.loads(content))


def serve(address: str) -> dict[str, Any]:
    """Fork for each request; returns, with the request, in the fork that is to run the program."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(16)
    os.write(1, b"ready\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        line, _ = listening.accept()
        if os.fork() == 0:
            break
        line.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    listening.close()
    length, descriptors, _, _ = socket.recv_fds(line, 8, 3)
    content = b""
    while len(content) < int.from_bytes(length, "little"):
        content += line.recv(65536)
    request: dict[str, Any] = json.loads(content)
    child = os.fork()
    if child:  # this one stays to tell how it ended
        for number in descriptors:
            os.close(number)
        with contextlib.suppress(OSError):
            line.sendall(json.dumps({"pid": child}).encode() + b"\n")
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        with contextlib.suppress(OSError):
            line.sendall(json.dumps({"code": code if code >= 0 else 128 - code}).encode() + b"\n")
        os._exit(0)
    line.detach()  # closed on exec or at the end; nothing is said on it
    _take_streams(request, descriptors)
    return request


def _take_streams(request: Mapping[str, Any], descriptors: list[int]) -> None:
    """File descriptors 0, 1 and 2, and Python's streams over them, as they would have been from the beginning."""
    kept = [os.dup(number) if number < 3 else number for number in descriptors]
    for number, is_open in enumerate(request["streams"]):
        with contextlib.suppress(OSError):
            os.close(number)
        if is_open:
            os.dup2(kept.pop(0), number)
    if request["terminal"]:
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(1 if os.isatty(1) else 2, termios.TIOCSCTTY, 0)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = _stream(number, request["encoding"]) if request["streams"][number] else None
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _stream(number: int, encoding: str) -> io.TextIOWrapper:
    raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
    buffer = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
    errors = ("strict" if encoding == "utf-8" else "surrogateescape") if number < 2 else "backslashreplace"
    return io.TextIOWrapper(
        buffer, encoding, errors, line_buffering=number == 2 or raw.isatty(), write_through=number == 2
    )


def _take_place(request: Mapping[str, Any]) -> None:
    os.chdir(request["cwd"].encode("latin-1"))
    for name, value in request["env"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if request["file_size"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"], request["file_size"]))
    if request["user"] is not None:
        os.setgroups([])
        os.setgid(request["user"])
        os.setuid(request["user"])
    sys.argv = ["sritool", *(os.fsdecode(arg.encode("latin-1")) for arg in request["args"])]


def _run() -> int:
    from sritool.cli.app import main

    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(code: int) -> None:
    """As the interpreter ends, but without taking down a thousand modules."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError) as error:
            code = 120
            with contextlib.suppress(OSError):
                os.write(2, f"Exception ignored in: {stream.name}: {error!r}\n".encode())
    os._exit(code)


def _warm_up() -> None:
    import importlib
    import pkgutil

    from typer.testing import CliRunner

    import sritool
    from sritool.cli.app import app

    for module in pkgutil.walk_packages(sritool.__path__, "sritool."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # A fork that becomes another user may not read the folder of the libraries: what the parser imports when it is
    # used comes with a command that fails at once.
    CliRunner().invoke(app, ["info", "nowhere.pt"])


if __name__ == "__main__":
    _warm_up()
    _take_place(serve(sys.argv[1]))
    arm()
    _end(_run())
