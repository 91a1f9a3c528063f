"""The program: the console script, and `python -m sritool`."""

from __future__ import annotations

import os
import signal

_SPINS = "1000"
"""How often a thread of OpenMP looks for work before it sleeps, unless the user says.

By default it looks for milliseconds. Two such threads, on two cores that other processes wanted too, made 42 small
matrix products a second; with this number 994, and one thread 1,501. On free cores such a product takes a seventh
longer with it, and a training step as long as before.
"""


def main() -> None:
    """Import and run the command line. Ctrl-C before it is there ends the process without a traceback."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)  # read when torch is imported
    python_s = signal.getsignal(signal.SIGINT)
    if python_s is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sritool.cli.app import main as run

    signal.signal(signal.SIGINT, python_s)
    run()


if __name__ == "__main__":
    main()
