"""The program: the console script, and `python -m sritool`."""

from __future__ import annotations

import signal


def main() -> None:
    """Import and run the command line. Ctrl-C before it is there ends the process without a traceback."""
    python_s = signal.getsignal(signal.SIGINT)
    if python_s is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sritool.cli.app import main as run

    signal.signal(signal.SIGINT, python_s)
    run()


if __name__ == "__main__":
    main()
