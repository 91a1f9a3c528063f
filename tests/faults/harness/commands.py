"""Every command of the program as typed, in a folder where it works."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from faults.harness.kill import Laboratory
from faults.harness.scene import sentences, train
from faults.harness.zygote import Done, Zygote


class Command(NamedTuple):
    """A command that prints; `reads` if it needs its stdin."""

    args: tuple[object, ...]
    stdin: bytes = b""
    reads: bool = False


def commands() -> dict[str, Command]:
    """Every command, for a folder made by `furnish`."""
    run, small = "mine-sri", ("--limit", 4, "--threads", 1)
    many = "\n".join(sentences(60, 6)).encode()
    few = "\n".join(sentences(3, 5)).encode() + b"\n\n"
    measures = ("--metrics", "nll,recon", "--samples", 4)
    shape = ("--limit", 2, "--chains", 8, "--grid", "0.5,1", "--shape", "checkpoint")
    return {
        "preprocess": Command(("preprocess", "-", "--name", "piped"), many, True),
        "train": Command(train("sri", "--resume", summary=True)),
        "tune-step": Command(("tune-step", run, *shape)),
        "fit-prior": Command(("fit-prior", run, "--sentences", 8, *small)),
        "evaluate": Command(("evaluate", run, *measures, *small)),
        "compare": Command(("compare", run, *measures, *small)),
        "reproduce": Command(
            ("reproduce", "table1", "--corpus", "mine", "--methods", "sri", "--no-run", *small)
        ),
        "tune": Command(
            ("tune", "mine", "--over", "sampler.steps=2..4", "--trials", 2, "--budget", "1s", "--threads", 1)
        ),
        "score": Command(("score", run, "--samples", 4), few, True),
        "recipes": Command(("recipes", "published")),
        "info": Command(("info", run)),
        "push": Command(("push", run, "me/mine", "--dry-run")),
        "sample": Command(("sample", run, "-n", 3)),
        "interpolate": Command(("interpolate", run, "--points", 3)),
        "encode": Command(("encode", run), few, True),
        "encode .npy": Command(("encode", run, "-f", "npy"), few, True),
        "decode": Command(("decode", run), b"0.5 -1\n0 0\n", True),
        "noisy-recon": Command(("noisy-recon", run, "--limit", 4)),
        "classify": Command(("classify", "lab-sri", "--labels", 0, "--draws", 1, "--limit", 12)),
        "plot curves": Command(("plot", "curves", run, "--show-data")),
        "plot frontier": Command(("plot", "frontier", run, "--limit", 4, "--show-data")),
        "plot rate-distortion": Command(
            ("plot", "rate-distortion", run, "--limit", 4, "--rungs", 4, "--chains", 2, "--show-data")
        ),
        "plot ppl-draws": Command(("plot", "ppl-draws", run, "--limit", 4, "--show-data")),
        "plot noisy-recon": Command(("plot", "noisy-recon", run, "--limit", 4, "--show-data")),
        "plot tune-step": Command(("plot", "tune-step", run, "--show-data")),
        "plot latent": Command(("plot", "latent", run, "--split", "train", "--limit", 24, "--show-data")),
        "plot traversal": Command(("plot", "traversal", run, "--show-data")),
        "report": Command(("report", run, "-o", "-", "--limit", 4, "--map-sentences", 12)),
        "--help": Command(("--help",)),
        "score --help": Command(("score", "--help")),
        "--version": Command(("--version",)),
        "train --print-config": Command(("train", "mine", "--print-config")),
    }


def furnish(lab: Laboratory, folder: Path) -> None:
    """Copy the laboratory's base, and add a labelled corpus and a run on it."""
    shutil.copytree(lab.folder / "base", folder, dirs_exist_ok=True)
    for number, (name, count) in enumerate({"train": 24, "valid": 12, "test": 12}.items()):
        lines = [f"{'ab'[k % 2]}\t{line}\n" for k, line in enumerate(sentences(count, 20 + number))]
        (folder / f"labelled-{name}.tsv").write_text("".join(lines), encoding="utf-8")
    files = [f"labelled-{name}.tsv" for name in ("train", "valid", "test")]
    lab.must(("preprocess", *files, "--name", "lab"), folder)
    lab.must(("train", "lab", *train("sri")[2:], "--max-steps", 1), folder)


class Desk:
    """Runs the program in a folder."""

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self.zygote, self.folder = zygote, folder

    def run(self, command: Command, **streams: int | bytes) -> Done:
        """Run a command with these streams."""
        settings: dict[str, Any] = {"stdin": command.stdin, **streams}
        return self.zygote.run(command.args, cwd=self.folder, **settings)


COMMANDS = commands()
