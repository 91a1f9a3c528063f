"""All methods on one corpus, one after another, with one generator, one plan and one seed.

    python -m benchmarks.methods captions                       # prepared before; into runs/captions-lm/ and so on
    python -m benchmarks.methods captions --only lm,sri --sentences 12000 -- --threads 1
    python -m benchmarks.methods captions --picture cost.png    # of what there is; trains nothing

Stop it at any moment and give the same command again: each run goes on from its last checkpoint, and one that is
done is passed over. What stands after `--` goes to every `sritool train`. Afterwards `sritool compare`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sritool.cli.plots.style import check_picture, look, new_canvas, plain, save, series
from sritool.runs.folder import METRICS, read_metrics


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
    "vae-lagging": Row("vae-lagging"),
    "sa-vae": Row("sa-vae"),
}
"""Cheap ones first. Free bits at two targets and short-run inference with three samplers, for the frontier."""

# The same thorough validation for all, so that their curves compare; a run's own budget would differ by method.
VALIDATION = {
    "share": 0,
    "sentences": 128,
    "likelihood.samples": 50,
    "likelihood.pilots": 48,
    "likelihood.rounds": 2,
}


def main(words: Sequence[str] | None = None) -> int:
    """Train what is not yet trained, or draw; the exit code of the first command that fails."""
    given, passed = _parse(sys.argv[1:] if words is None else list(words))
    if given.picture:
        picture(_runs(given), given.picture)
        return 0
    for name in given.only:
        code = subprocess.run([sys.executable, "-m", "sritool", *command(name, given), *passed]).returncode
        if code:
            return code
    return 0


def command(name: str, given: argparse.Namespace) -> list[str]:
    """The words of one `sritool train`."""
    row = ROWS[name]
    return [
        *("train", given.corpus, "--name", f"{given.prefix}-{name}", "--method", row.method, "--resume"),
        *("auto", "--runs-dir", str(given.runs_dir), "--embedding", "128", "--hidden", str(given.hidden)),
        *("--dropout", "0.2", "--batch-size", "64", "--epochs", str(given.epochs), "--learning-rate"),
        *("0.003", "--set", "optimizer.decay.begin=0.5", "--set", "optimizer.decay.end=0.3333333333333333"),
        *(word for key, value in VALIDATION.items() for word in ("--set", f"validation.{key}={value}")),
        *("--set", f"training.sentences={given.sentences}", "--seed", "0", "--no-summary", *row.own),
    ]


def _parse(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    own, passed = (
        (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    )
    parser = argparse.ArgumentParser(
        "python -m benchmarks.methods",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("corpus")
    parser.add_argument("--only", default=",".join(ROWS), help="rows with commas between (default: all)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--sentences", type=int, default=0, help="of the training split; 0: all")
    parser.add_argument("--prefix", help="of the runs' names (default: the corpus)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw validation NLL against time instead"
    )
    given = parser.parse_args(own)
    given.prefix = given.prefix or Path(given.corpus).name
    given.only = [name.strip() for name in given.only.split(",") if name.strip()]
    for name in given.only:
        if name not in ROWS:
            parser.error(f"no row {name!r}; known: {', '.join(ROWS)}")
    return given, passed


def _runs(given: argparse.Namespace) -> dict[str, Path]:
    """Row -> metrics, of the runs that have any."""
    files = {name: given.runs_dir / f"{given.prefix}-{name}" / METRICS for name in given.only}
    return {name: path for name, path in files.items() if path.is_file()}


def curve(metrics: Path) -> tuple[list[float], list[float]]:
    """Minutes of training without validation, the autoencoder's with them, and the validation NLL at these."""
    minutes, nll, validating = [], [], 0.0
    for record in read_metrics(metrics):
        if record["kind"] == "epoch":
            validating += record["validation_seconds"]
            if "nll" in record:
                minutes.append((record["seconds"] - validating) / 60)
                nll.append(record["nll"])
    return minutes, nll


def picture(runs: dict[str, Path], file: Path) -> None:
    """Validation NLL against wall-clock, a line a run. Format by the file's ending."""
    check_picture(file, "--picture")
    with look():
        canvas, axes = new_canvas((9.0, 5.5))
        for number, (name, metrics) in enumerate(runs.items()):
            minutes, nll = curve(metrics)
            if nll:
                axes.plot(minutes, nll, label=plain(name), **series(number))
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("minutes of training, without validation")
        axes.set_ylabel("validation NLL (nats/sentence)")
        canvas.legend(loc="outside right upper")
    save(canvas, file)


if __name__ == "__main__":
    sys.exit(main())
