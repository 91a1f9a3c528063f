"""Entry point of the console script and of `python -m sritool`."""

from __future__ import annotations

import os
import signal

_SPINS = "1000"
"""How often an OpenMP thread checks for work before it sleeps, unless the user sets it.

By default it spins for milliseconds. Two spinning threads on two cores shared with other processes computed 42 small
matrix products per second; with this value 994, and a single thread 1,501. On free cores this value makes such a
product a seventh slower, but a training step takes as long as before.
"""


def main() -> None:
    """Import and run the command line; Ctrl-C during the import ends the process without a traceback."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)  # read when torch is imported
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sritool.cli.app import main as run

    signal.signal(signal.SIGINT, handler)
    run()


if __name__ == "__main__":
    main()
