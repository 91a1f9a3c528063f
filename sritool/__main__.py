"""The program: the console script, and `python -m sritool`."""

from __future__ import annotations

import os
import signal

_SPINS = "1000"
"""How often a thread of OpenMP looks for work before it sleeps, unless the user says.

By default it looks for milliseconds. Where other processes want the same cores, two such threads made a small matrix
product take 30 times as long as one of them alone; so they share a busy machine, and lose microseconds on a free one.
"""


def main() -> None:
    """Import and run the command line. Ctrl-C before it is there ends the process without a traceback."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)  # read when torch is imported
    python_s = signal.getsignal(signal.SIGINT)
    if python_s is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sritool.cli.app import main as run

    signal.signal(signal.SIGINT, python_s)
    run()


if __name__ == "__main__":
    main()
