"""The program as real processes without two seconds of imports: forks of one that has imported everything.

A fork has its own file descriptors, folder, limits and user, and opens and closes its standard streams as the
interpreter does when it starts and ends. Only tests of what happens during imports or the interpreter's shutdown need
a new process.

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
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import sritool
from faults.harness.killpoints import arm

CLOSED = -1
"""Instead of a file descriptor: the stream is closed, like a shell's `>&-`."""

WARM = (
    "torch", "torch._dynamo", "numpy", "sklearn.svm", "sklearn.mixture", "sklearn.manifold", "scipy.optimize",
    "datasets", "pyarrow", "sentencepiece", "rich.progress", "rich.console", "matplotlib.figure",
    "matplotlib.backends.backend_agg", "sacrebleu", "plotly.graph_objects", "torch.utils.serialization")  # fmt: skip
"""Modules that the first process imports if they are installed, besides those of the program."""


class Done(NamedTuple):
    """How a process ended."""

    code: int  # as in a shell: 128 + the signal that killed it
    out: str
    err: str


class Running:
    """A running process of the program, with its `pid`."""

    def __init__(self, line: socket.socket, out: BinaryIO | None, err: BinaryIO | None) -> None:
        self._line, self._out, self._err = line, out, err
        self.pid = int(_receive(line)["pid"])

    def send(self, number: int) -> None:
        """Send the process a signal."""
        os.kill(self.pid, number)

    def errors(self) -> str:
        """Its stderr so far."""
        return _content(self._err)

    def until(self, condition: Callable[[], bool]) -> None:
        """Poll until a condition holds, for a minute at most. Raises: TimeoutError."""
        end = time.monotonic() + 60
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited for 60 s; stderr: {self.errors()}")
            time.sleep(0.005)

    def wait(self, seconds: float = 60.0) -> Done:
        """Wait until the process ends. If it takes longer than this, kill it and raise TimeoutError."""
        self._line.settimeout(seconds)
        try:
            code = int(_receive(self._line)["code"])
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            raise TimeoutError(f"it ran for {seconds:.0f} s; stderr: {self.errors()}") from None
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
            # matplotlib would make a folder, and each fork would remove it at its end
            environment["MPLCONFIGDIR"] = self._folder.name
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the first process did not start")
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
        env: Mapping[str, str] | None = None,
        encoding: str = "utf-8",
        file_size: int | None = None,
        user: int | None = None,
        terminal: bool = False,
    ) -> Running:
        """Start `sritool ARGS`.

        Args:
            stdin: Its content, or a descriptor.
            stdout, stderr: A descriptor, CLOSED, or None to have the output in `Done`.
            env: Environment variables to set.
            encoding: That of the locale.
            file_size: Largest size of a file in bytes, as with `ulimit -f`.
            user: Number of the user it runs as.
            terminal: Make stdout, or else stderr, its controlling terminal.
        """
        with contextlib.ExitStack() as stack:
            if isinstance(stdin, bytes):
                file = stack.enter_context(tempfile.TemporaryFile())
                file.write(stdin)
                file.seek(0)
                stdin = file.fileno()
            out = tempfile.TemporaryFile() if stdout is None else None  # noqa: SIM115 - read after the end
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
        """Run `sritool ARGS` until it ends, with the settings of `start`."""
        return self.start(args, **settings).wait(seconds)


def _content(file: BinaryIO | None) -> str:
    if file is None:
        return ""
    file.seek(0)
    return file.read().decode("utf-8", "backslashreplace")


def _receive(line: socket.socket) -> dict[str, Any]:
    """Receive a message of one line of JSON."""
    content = b""
    while not content.endswith(b"\n"):
        byte = line.recv(1)
        if not byte:
            raise RuntimeError("the process ended without a message")
        content += byte
    return dict(json.loads(content))


def serve(address: str) -> dict[str, Any]:
    """Fork for each request; return the request in the fork that will run the program."""
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
    if child:  # this process stays to report how the child ended
        for number in descriptors:
            os.close(number)
        with contextlib.suppress(OSError):
            line.sendall(json.dumps({"pid": child}).encode() + b"\n")
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        with contextlib.suppress(OSError):
            line.sendall(json.dumps({"code": code if code >= 0 else 128 - code}).encode() + b"\n")
        os._exit(0)
    line.detach()  # closed on exec or at the end; the child sends nothing
    _take_streams(request, descriptors)
    return request


def _take_streams(request: Mapping[str, Any], descriptors: list[int]) -> None:
    """Set file descriptors 0, 1 and 2, and Python's streams on them, as for a new process."""
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
    os.environ.update(request["env"])
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
    """End as the interpreter does, but without unloading a thousand modules."""
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
    # A fork that becomes another user may be unable to read the libraries. This failing command imports what the
    # parser needs.
    CliRunner().invoke(app, ["info", "nowhere.pt"])


if __name__ == "__main__":
    _warm_up()
    _take_place(serve(sys.argv[1]))
    arm()
    _end(_run())
