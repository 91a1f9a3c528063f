"""All methods on one corpus, one after another, with one generator, one plan and one seed.

    python -m benchmarks.methods captions                       # prepared before; into runs/captions-lm/ and so on
    python -m benchmarks.methods captions --only lm,sri --sentences 12000 -- --threads 1
    python -m benchmarks.methods captions --picture cost.png    # of what there is; times some steps, trains nothing

Stop it at any moment and give the same command again: each run goes on from its last checkpoint, and one that is
done is passed over. What stands after `--` goes to every `sritool train`. Afterwards `sritool compare`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.ours import OurStep
from benchmarks.shapes import Shape
from benchmarks.timing import alternate
from sritool.cli.plots.style import check_picture, look, new_canvas, plain, save, series
from sritool.config.settings import RunConfig
from sritool.config.values import build, read_toml
from sritool.data.store import Corpus, find_corpus, load_corpus
from sritool.methods.registry import METHODS
from sritool.runs.folder import CONFIG, METRICS
from sritool.runs.metrics_log import read_metrics
from sritool.runs.stage import Stage, stage_of


class Row(NamedTuple):
    """A run: its method and what it has of its own."""

    method: str
    own: tuple[str, ...] = ()


ROWS = {
    "lm": Row("lm"),
    "ae": Row("ae"),
    "vae-anneal": Row("vae-anneal"),
    "vae-cyclical": Row("vae-cyclical"),
    "vae-fbp": Row("vae-fbp"),
    "vae-fb-8": Row("vae-fb", ("--target-kl", "8")),
    "vae-fb-16": Row("vae-fb", ("--target-kl", "16")),
    "sri": Row("sri"),
    "sri-tempered": Row("sri", ("--sampler", "tempered", "--words", "0")),
    "sri-authors": Row("sri", ("--sampler", "authors")),
    "sri-paper": Row("sri", ("--sampler", "paper")),
    "vae-lagging": Row("vae-lagging"),
    "sa-vae": Row("sa-vae"),
}
"""Cheap ones first. Free bits at two targets and short-run inference with three samplers, for the frontier."""

_LIKELIHOOD = {"samples": 50, "pilots": 48, "rounds": 2}
# The same thorough validation for all, so that their curves compare; a run's own budget would differ by method.
VALIDATION = {"share": 0, "sentences": 128} | {f"likelihood.{name}": n for name, n in _LIKELIHOOD.items()}


def main(words: Sequence[str] | None = None) -> int:
    """Train what is not yet trained, or draw; the exit code of the first command that fails."""
    given, passed = _parse(sys.argv[1:] if words is None else list(words))
    if given.picture:
        folder = find_corpus(given.corpus, given.data_dir)
        if folder is None:
            raise SystemExit(f"no prepared corpus {given.corpus} in {given.data_dir}; give --data-dir")
        picture(_runs(given), load_corpus(folder), given.rounds, given.picture)
        return 0
    for name in given.only:
        code = subprocess.run([sys.executable, "-m", "sritool", *command(name, given), *passed]).returncode
        if code:
            return code
    return 0


def command(name: str, given: argparse.Namespace) -> list[str]:
    """The words of one `sritool train`."""
    row, settings = ROWS[name], {f"validation.{key}": value for key, value in VALIDATION.items()}
    settings["training.sentences"] = given.sentences
    options = {
        "--name": f"{given.prefix}-{name}",
        "--method": row.method,
        "--resume": "auto",
        "--runs-dir": given.runs_dir,
        "--embedding": 128,
        "--hidden": given.hidden,
        "--dropout": 0.2,
        "--batch-size": 64,
        "--epochs": given.epochs,
        "--learning-rate": 0.003,
        "--seed": 0,
    }
    pairs = [*options.items(), *(("--set", f"{key}={value}") for key, value in settings.items())]
    words = [str(word) for pair in pairs for word in pair]
    return ["train", given.corpus, *words, "--no-summary", *row.own]


def _parse(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    cut, form = words.index("--") if "--" in words else len(words), argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m benchmarks.methods", description=__doc__, formatter_class=form
    )
    parser.add_argument("corpus")
    parser.add_argument("--only", default=",".join(ROWS), help="rows with commas between (default: all)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--sentences", type=int, default=0, help="of the training split; 0: all")
    parser.add_argument("--prefix", help="of the runs' names (default: the corpus)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="for --picture")
    drawn = "draw validation NLL against minutes of training instead"
    parser.add_argument("--picture", type=Path, metavar="FILE", help=drawn)
    timed = "steps of each run that --picture times, in turns"
    parser.add_argument("--rounds", type=int, default=10, help=timed)
    given = parser.parse_args(words[:cut])
    given.prefix = given.prefix or Path(given.corpus).name
    given.only = [name.strip() for name in given.only.split(",") if name.strip()]
    for name in given.only:
        if name not in ROWS:
            parser.error(f"no row {name!r}; known: {', '.join(ROWS)}")
    return given, words[cut + 1 :]


def _runs(given: argparse.Namespace) -> dict[str, Path]:
    """Row -> metrics, of the runs that have any."""
    files = {name: given.runs_dir / f"{given.prefix}-{name}" / METRICS for name in given.only}
    return {name: path for name, path in files.items() if path.is_file()}


Phase = tuple[str, bool]
"""A row, and whether it is still the autoencoder that it begins with."""


def step_seconds(runs: Mapping[str, Path], corpus: Corpus, rounds: int) -> dict[Phase, float]:
    """The time of a training step of each run on this machine: the least of those that took turns.

    Sentences have the corpus' mean length. One thread; updates of `vae-lagging`'s encoder alone are left out.
    """
    torch.set_num_threads(1)
    train, device = corpus.info.splits["train"], torch.device("cpu")
    length = round(train.predictions / train.sentences)
    steps: dict[Phase, OurStep] = {}
    for name, metrics in runs.items():
        config = build(RunConfig, read_toml(metrics.with_name(CONFIG)))
        sizes, batch = config.generator, config.training.batch_size
        widths = (sizes.embedding, sizes.hidden, sizes.latent, sizes.dropout)
        shape = Shape(name, name, len(corpus.tokenizer), length, batch, *widths)
        for pretraining in (False, True) if METHODS[config.method].pretrains else (False,):
            steps[name, pretraining] = OurStep(config, shape, device)
            steps[name, pretraining].method.pretraining = pretraining
    return {phase: min(times) for phase, times in alternate(steps, rounds, device).items()}


def curve(name: str, metrics: Path, seconds: Mapping[Phase, float]) -> tuple[list[float], list[float]]:
    """Minutes of training at each validation, counted as steps, and the validation NLL there."""
    minutes, nll, spent, before = [], [], 0.0, 0
    for record in read_metrics(metrics):
        if record["kind"] == "epoch":
            spent += (record["step"] - before) * seconds[name, stage_of(record) is Stage.AUTOENCODER] / 60
            before = record["step"]
            if "nll" in record:
                minutes.append(spent)
                nll.append(record["nll"])
    return minutes, nll


def picture(runs: Mapping[str, Path], corpus: Corpus, rounds: int, file: Path) -> None:
    """Validation NLL against minutes of training, a line a run. Format by the file's ending."""
    check_picture(file, "--picture")
    seconds = step_seconds(runs, corpus, rounds)
    for (name, pretraining), value in seconds.items():
        print(f"{name}{' (autoencoder)' if pretraining else ''}: {1000 * value:.1f} ms a step")
    with look():
        canvas, axes = new_canvas((9.0, 5.5))
        for number, (name, metrics) in enumerate(runs.items()):
            minutes, nll = curve(name, metrics, seconds)
            if nll:
                axes.plot(minutes, nll, label=plain(name), **series(number))
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("minutes of training: steps × time of a step, without validation")
        axes.set_ylabel("validation NLL (nats/sentence)")
        canvas.legend(loc="outside right upper")
    save(canvas, file)


if __name__ == "__main__":
    sys.exit(main())
