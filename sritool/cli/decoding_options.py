"""How sentences are read off codes: the options that sample, interpolate and decode share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sritool.model.decoding import DecodingConfig

DECODING_PANEL = "Decoding"
MAX_LENGTH = 200
FEW = 512  # sentences that are there before a progress bar could be read

GreedyOpt = Annotated[
    bool | None,
    typer.Option(
        "--greedy/--ancestral",
        help="Take the likeliest next word, or draw one.",
        show_default="greedy; ancestral with one of the next three options, and for a model without z",
        rich_help_panel=DECODING_PANEL,
    ),
]

TemperatureOpt = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        help="Draw from the words' probabilities sharpened (below 1) or flattened (above).",
        show_default="1",
        rich_help_panel=DECODING_PANEL,
    ),
]

TopKOpt = Annotated[
    int | None,
    typer.Option(
        "--top-k",
        min=1,
        help="Draw among the k likeliest words.",
        show_default="all",
        rich_help_panel=DECODING_PANEL,
    ),
]

TopPOpt = Annotated[
    float | None,
    typer.Option(
        "--top-p",
        help="Draw among the fewest words that have this probability together.",
        show_default="1",
        rich_help_panel=DECODING_PANEL,
    ),
]

BeamOpt = Annotated[
    int | None,
    typer.Option(
        "--beam",
        min=1,
        help="Search for the likeliest sentence with so many open ends side by side; 1 is greedy.",
        show_default="1",
        rich_help_panel=DECODING_PANEL,
    ),
]

MaxLengthOpt = Annotated[
    int,
    typer.Option("--max-length", min=1, help="Longest sentence, in tokens.", rich_help_panel=DECODING_PANEL),
]


def decoding_config(
    greedy: bool | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    beam: int | None = None,
    max_length: int = MAX_LENGTH,
) -> DecodingConfig:
    """What the options ask for: greedy, unless words are to be drawn or one of the options that draw is given.

    Raises: UsageError for options that contradict each other, or a value that cannot be.
    """
    from sritool.errors import UsageError
    from sritool.model.decoding import DecodingConfig

    asked = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    drawn = {name: value for name, value in asked.items() if value is not None}
    first = next((f"--{name.replace('_', '-')}" for name in drawn), None)
    if beam is not None:
        against = {True: "--greedy", False: "--ancestral", None: first}[greedy]
        if against:
            raise UsageError(f"--beam searches for the likeliest sentence; leave it or {against} out")
    if greedy and first:
        raise UsageError(f"{first} is for ancestral decoding; leave it or --greedy out")
    if greedy is None:
        greedy = not drawn
    return DecodingConfig(greedy=greedy, beam=beam or 1, max_length=max_length, **drawn)  # type: ignore[arg-type]
