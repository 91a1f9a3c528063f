"""`python -m sritool`: the same as the console script."""

from sritool.cli.app import main

if __name__ == "__main__":
    main()
