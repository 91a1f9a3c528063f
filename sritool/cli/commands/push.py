"""`sritool push`: sends a model to the Hugging Face hub, with a card made from its run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sritool.cli.options.files import DataDirOpt, RunsDirOpt
from sritool.cli.options.models import find_named
from sritool.cli.render import write_lines
from sritool.cli.streams import say
from sritool.errors import SritoolError, UsageError

if TYPE_CHECKING:
    from sritool.analysis.model_card import CardFacts

CARD = "README.md"


def push(
    *,
    checkpoint: Annotated[Path, typer.Argument(metavar="CKPT", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="USER/NAME")],
    private: Annotated[bool, typer.Option("--private/--public")] = False,
    license_name: Annotated[str | None, typer.Option("--license", metavar="ID")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
    folder: Annotated[Path | None, typer.Option("--output", "-o", metavar="FOLDER")] = None,
    data_dir: DataDirOpt = Path("data"),
    runs_dir: RunsDirOpt = Path("runs"),
) -> None:
    """Send a model to the Hugging Face hub: weights, settings, and a model card made from the run.

    sritool push runs/mine-sri USER/mine-sri --private

    sritool push runs/mine-sri USER/mine-sri --dry-run

    Every command then takes hf://USER/NAME or hf://USER/NAME@REVISION as a checkpoint. The card has the figures that
    evaluate measured and recorded, so run that first. The training text is never sent; its vocabulary is in the
    checkpoint. The token is read by the hub's own client: from HF_TOKEN, or where `hf auth login` put it.

    Args:
        checkpoint: A checkpoint file, a run folder, tiny-sri (comes with sritool), or hf://user/name.
        name: The model on the hub; created if needed.
        private: Make a newly created model private.
        license_name: Licence of the model, as the hub spells it, like mit; without it the card names none.
        dry_run: Print the card, and send nothing.
        folder: Write everything that would be sent into this folder, and send nothing.
    """
    from sritool.analysis.model_card import gather_facts
    from sritool.cli.model_card import render
    from sritool.runs.hub import check_hub_name, push_folder

    check_hub_name(name)
    if license_name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}", license_name):
        raise UsageError(
            f"--license {license_name!r} is not a licence; write it as the hub does, like apache-2.0"
        )
    facts = gather_facts(find_named(checkpoint, runs_dir), data_dir)
    if not facts.estimates:
        say(
            "the card has no figures, as no evaluation of these weights is on record: run sritool evaluate first"
        )
    card = render(facts, name, license_name)
    if dry_run:
        write_lines([card])
    if folder is not None:
        make_folder(folder)
        write_files(facts, card, folder)
        say(f"wrote {', '.join(sorted(path.name for path in folder.iterdir()))} in {folder}")
    if dry_run or folder is not None:
        return
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        write_files(facts, card, Path(temporary))
        address = push_folder(Path(temporary), name, private)
    say(f"pushed {facts.run} to {address}; use it as hf://{name}")


def make_folder(folder: Path) -> None:
    """Make an empty folder, or accept an existing one; raise UsageError otherwise."""
    try:
        folder.mkdir(exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"-o {folder} cannot be a folder: {error.strerror}; give another") from error
    if used:
        raise UsageError(f"-o {folder} has files already; give a new folder")


def write_files(facts: CardFacts, card: str, folder: Path) -> None:
    """Write what is sent: best.pt, config.toml and README.md."""
    from sritool.files import cannot_write, write_text
    from sritool.runs.checkpoint import save_checkpoint
    from sritool.runs.folder import CONFIG
    from sritool.runs.hub import HUB_FILE

    save_checkpoint(facts.checkpoint, folder / HUB_FILE)
    try:
        write_text(folder / CONFIG, facts.settings)
        write_text(folder / CARD, card)
    except OSError as error:
        raise SritoolError(cannot_write(folder, error, "another folder")) from error
