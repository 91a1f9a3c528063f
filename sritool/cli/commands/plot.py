"""`sritool plot KIND`: pictures. A kind is a module of `sritool.cli.plots`, a command with options of its own."""

from __future__ import annotations

from typing import Any

import typer

from sritool.cli.lazy_group import CONTEXT_SETTINGS, LazyGroup, help_of

RECORDED, MEASURED, LATENT = "From the record", "Measured, or from the record", "Of the latent space"

KINDS: dict[str, str] = {
    "curves": RECORDED,
    "frontier": MEASURED,
    "rate-distortion": MEASURED,
    "ppl-draws": MEASURED,
    "noisy-recon": MEASURED,
    "tune-step": MEASURED,
    "latent": LATENT,
    "traversal": LATENT,
}
"""Kind of picture -> its heading in `sritool plot --help`, in the order shown."""


class KindGroup(LazyGroup):
    """The kinds of pictures."""

    package, headings, noun = "sritool.cli.plots", KINDS, "kind of picture"


def plot() -> None:
    """Draw a picture: training curves, frontier, likelihood against draws, latent space and others.

    sritool plot curves runs/tiny-sri runs/tiny-vae-anneal -o curves.png

    sritool plot frontier --show-data | column -t

    The file's ending sets the format: .png, .svg or .pdf; without -o the file is KIND.png in the current folder.
    --show-data prints the numbers that are drawn, and draws only if -o is given as well. Each kind has its own help,
    with what it shows and its options: sritool plot curves --help.
    """


def build_group(heading: str) -> Any:
    """Return the command `plot`, with its kinds as subcommands, under a heading of `sritool --help`."""
    group = typer.Typer(
        name="plot",
        cls=KindGroup,
        subcommand_metavar="KIND [ARGS]...",
        context_settings=CONTEXT_SETTINGS,
        rich_markup_mode="rich",
        help=help_of(plot),
        add_completion=False,
    )
    group.callback()(plot)
    command: Any = typer.main.get_command(group)
    command.rich_help_panel = heading
    return command
