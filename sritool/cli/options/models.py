"""Options for the checkpoints that a command works with, and for the device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sritool.cli.options.files import RunsDirOpt
from sritool.cli.signatures import in_panel
from sritool.cli.streams import say

if TYPE_CHECKING:
    from sritool.runs.model import TrainedModel

device_option = in_panel("Device")


@dataclass(frozen=True)
class DeviceOptions:
    """Where the work is done.

    Attributes:
        gpu: Number of the CUDA device, like 0; overrides --device.
        device: cpu, cuda:0, or auto: a CUDA GPU if there is one, else the CPU.
        threads: Number of CPU threads per process; by default, those of OMP_NUM_THREADS, or one per core, shared
            among the processes. A model of 128 units or fewer is by default trained with one thread.
    """

    gpu: Annotated[str | None, device_option(metavar="N", envvar="SRITOOL_GPU")] = None
    device: Annotated[str, device_option(metavar="NAME", envvar="SRITOOL_DEVICE")] = "auto"
    threads: Annotated[int | None, device_option(min=1, envvar="SRITOOL_THREADS")] = None

    def open_device(self) -> str:
        """Limit PyTorch's threads, and return the device's full name; raise UsageError if there is no such device."""
        from sritool.model.device import resolve_device, set_threads

        where = resolve_device(self.device, self.gpu)
        set_threads(self.threads)
        return str(where)

    def words(self) -> list[str]:
        """Return these options as words of a command line, for another command."""
        words = ["--gpu", self.gpu] if self.gpu is not None else []
        words += ["--device", self.device] if self.device != "auto" and self.gpu is None else []
        return [*words, *(["--threads", str(self.threads)] if self.threads is not None else [])]


def find_named(given: Path, runs_dir: Path) -> Path:
    """Return the named checkpoint file; say on stderr if it is a bundled model or comes from the hub.

    Raises:
        CheckpointError: There is no such checkpoint.
    """
    from sritool.runs.folder import find_checkpoint
    from sritool.runs.hub import hub_model, name_in_cache

    if (on_hub := hub_model(given)) is not None:
        say(f"asking the Hugging Face hub for {on_hub}")  # this takes a while without a network
    path = find_checkpoint(given, runs_dir)
    report_bundled(given, path)
    if name_in_cache(path) is not None and not given.exists():
        say(f"using {name_in_cache(path)} from the Hugging Face hub, revision {path.parent.name[:12]}")
    return path


def find_all_named(named: Sequence[Path], runs_dir: Path, doing: str) -> list[Path]:
    """Return the named checkpoint files; without any, the newest run's, printed on stderr after `doing`."""
    from sritool.runs.folder import find_checkpoint

    if named:
        return [find_named(path, runs_dir) for path in named]
    newest = find_checkpoint(None, runs_dir)
    say(f"{doing} {newest}")
    return [newest]


def report_bundled(given: Path, found: Path) -> None:
    """Say on stderr whether `given`, the name of a bundled model, was resolved to that model or to the user's."""
    from sritool.runs.bundled import bundled_run, is_bundled

    if given.exists():
        return
    if is_bundled(found):
        say(f"{given} is not a file or run here: using the model of this name that comes with sritool")
    elif bundled_run(str(given)) is not None:
        say(f"using your {found}, not the model {given} that comes with sritool")


@dataclass(frozen=True)
class CheckpointOptions:
    """One checkpoint.

    Attributes:
        checkpoint: A checkpoint file, a run folder, tiny-sri (comes with sritool), or hf://user/name on the Hugging
            Face hub; by default, the newest run.
    """

    checkpoint: Annotated[
        Path | None, typer.Argument(metavar="CKPT", envvar="SRITOOL_CHECKPOINT", show_default=False)
    ] = None
    runs_dir: RunsDirOpt = Path("runs")

    def find(self, doing: str) -> Path:
        """Return the checkpoint's file; by default, the newest run's, printed on stderr after `doing`."""
        named = [] if self.checkpoint is None else [self.checkpoint]
        return find_all_named(named, self.runs_dir, doing)[0]


@dataclass(frozen=True)
class CheckpointsOptions:
    """One checkpoint or several.

    Attributes:
        checkpoints: Checkpoint files, run folders, tiny-sri (comes with sritool), or hf://user/name on the Hugging
            Face hub; by default, that of SRITOOL_CHECKPOINT, or the newest run.
    """

    checkpoints: Annotated[list[Path] | None, typer.Argument(metavar="CKPT", show_default=False)] = None
    runs_dir: RunsDirOpt = Path("runs")

    def named(self) -> list[Path]:
        """Return the checkpoints named on the command line, or else the one named in the environment."""
        # Not left to the parser, which would split the value at colons, and hf://user/name has one.
        of_environment = os.environ.get("SRITOOL_CHECKPOINT")
        return self.checkpoints or ([Path(of_environment)] if of_environment else [])

    def find(self, doing: str) -> list[Path]:
        """Return the checkpoints' files; by default, the newest run's, printed on stderr after `doing`."""
        return find_all_named(self.named(), self.runs_dir, doing)


@dataclass(frozen=True)
class ModelOptions(CheckpointOptions, DeviceOptions):
    """One trained model, to be loaded onto a device."""

    def load(self, doing: str) -> TrainedModel:
        """Return the model, on its device."""
        from sritool.runs.model import load_model

        where = self.open_device()
        return load_model(self.find(doing), where)


@dataclass(frozen=True)
class ComparedOptions(CheckpointsOptions):
    """Models side by side: several, or all that were trained on one corpus.

    Attributes:
        checkpoints: Checkpoint files, run folders, tiny-sri (comes with sritool), or hf://user/name on the Hugging
            Face hub; by default, all runs on the newest run's corpus.
        mixed: Allow runs on different corpora, although their figures are not comparable.
        against: Reference run for paired differences, on the same sentences and draws: one of the runs, or another.
            [default: the lm among them, or else the first]
    """

    mixed: Annotated[bool, typer.Option("--mixed")] = False
    against: Annotated[Path | None, typer.Option(metavar="RUN")] = None

    def find_with_reference(self) -> tuple[list[Path], Path | None]:
        """Return the files of `find_all` and that of --against, which comes first if it is not among them."""
        from sritool.runs.folder import find_checkpoint

        found = self.find_all()
        if self.against is None:
            return found, None
        named = [path for path in found if path.parent.name == str(self.against)]
        reference = named[0] if len(named) == 1 else find_checkpoint(self.against, self.runs_dir)
        among = any(path.resolve() == reference.resolve() for path in found)
        return (found if among else [reference, *found]), reference

    def find_all(self) -> list[Path]:
        """Return the checkpoints' files; by default, those of all runs on the newest run's corpus."""
        from sritool.analysis.comparison import runs_of_newest_corpus

        if self.checkpoints:
            return self.find("")
        found = runs_of_newest_corpus(self.runs_dir)
        skipped = [f"{found.elsewhere} on other corpora"] if found.elsewhere else []
        skipped += [f"{found.begun} still in pretraining"] if found.begun else []
        left_out = f", without {' and '.join(skipped)}" if skipped else ""
        names = ", ".join(path.parent.name for path in found.paths)
        say(f"comparing the runs in {self.runs_dir}/ on the corpus of the newest one{left_out}: {names}")
        return found.paths


def warn_of_collapse(model: TrainedModel) -> None:
    """Say on stderr if the generator ignores z, so that its codes say nothing about a sentence."""
    from sritool.evaluation.collapse import collapse_note

    if note := collapse_note(model.checkpoint):
        say(note)


def report_reading(model: TrainedModel, sentences: Sequence[str]) -> None:
    """Say on stderr what the model does not read of a user's sentences: unknown words, and the ends of long ones."""
    from sritool.evaluation.sentences import reading_notes

    for note in reading_notes(model, sentences):
        say(note)
