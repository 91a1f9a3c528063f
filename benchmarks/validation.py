"""Does the cheap validation choose the same epoch as a thorough one? Measures both on every epoch of one run.

    python -m benchmarks.validation captions OUT -- method=vae-anneal training.epochs=8 training.sentences=2000
    python -m benchmarks.validation captions OUT -- …      # again: measures the epochs not yet measured

Trains once with the settings after `--`, given as for `--set`, and keeps each epoch as OUT/epoch-N.pt. Then
measures each epoch at the run's own level, and at the most that the settings allow (`validation.share=0`), and
prints a table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sritool.config.settings import RunConfig
from sritool.data.store import Corpus, find_corpus, load_corpus
from sritool.model.device import set_threads
from sritool.runs.folder import LAST
from sritool.runs.model import load_model
from sritool.training import events
from sritool.training.configure import gather, resolve_config
from sritool.training.loop import Limits, Trainer
from sritool.training.validation import Level, chosen_by, level_of, validate

FOUND = "validations.jsonl"
KINDS = ("cheap", "thorough")


def main(words: Sequence[str] | None = None) -> int:
    """Train unless already trained, measure the epochs not yet measured, and print both curves."""
    words = list(sys.argv[1:] if words is None else words)
    cut, form = words.index("--") if "--" in words else len(words), argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m benchmarks.validation", description=__doc__, formatter_class=form
    )
    parser.add_argument("corpus")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(words[:cut])
    set_threads(given.threads)
    path = find_corpus(given.corpus, given.data_dir)
    if path is None:
        parser.error(f"no prepared corpus {given.corpus!r} in {given.data_dir}")
    corpus = load_corpus(path)
    assignments = [word for word in words[cut + 1 :] if word != "--set"]
    config = resolve_config(given.corpus, given=gather(assignments=assignments))
    given.out.mkdir(parents=True, exist_ok=True)
    train(corpus, config, given.out)
    print(table(measured(corpus, config, given.out)))
    return 0


def train(corpus: Corpus, config: RunConfig, out: Path) -> None:
    """Train the plan once in OUT/run, and keep last.pt of every epoch."""
    if (out / f"epoch-{config.training.epochs}.pt").is_file():
        return
    run = out / "run"
    run.mkdir(exist_ok=True)
    kept = 0

    def keep(event: events.Event) -> None:
        """Copy last.pt at the first step of an epoch, when it still holds the end of the previous one."""
        nonlocal kept
        if isinstance(event, events.Step) and event.stage != "autoencoder" and event.epoch - 1 > kept:
            kept = event.epoch - 1
            shutil.copy(run / LAST, out / f"epoch-{kept}.pt")

    Trainer(corpus, config, run, torch.device("cpu"), Limits(), keep).run()
    shutil.copy(run / LAST, out / f"epoch-{config.training.epochs}.pt")


def measured(corpus: Corpus, config: RunConfig, out: Path) -> list[dict[str, Any]]:
    """Measure the figure that chooses the best epoch, cheap and thorough, with errors and seconds, per epoch."""
    file = out / FOUND
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    records = [json.loads(line) for line in lines]
    everything, valid = corpus.split("train"), corpus.split("valid")
    seen = everything.choice(config.training.sentences or len(everything))
    for epoch in range(len(records) + 1, config.training.epochs + 1):
        method = load_model(out / f"epoch-{epoch}.pt", "cpu").method
        cheap = level_of(method, config, seen, valid)
        settings = config.validation
        thorough = Level(min(settings.sentences, len(valid)), settings.likelihood)
        record: dict[str, Any] = {"epoch": epoch, "every": cheap.every}
        for name, level in zip(KINDS, (cheap, thorough), strict=True):
            began = time.monotonic()
            found = validate(method, valid, level.sentences, level.likelihood, lambda *_: None)
            (figure,) = [estimate for estimate in found if estimate.metric == chosen_by(method)]
            record[name] = {
                "value": figure.value,
                "se": figure.standard_error,
                "sentences": level.sentences,
                "draws": level.likelihood.samples,
                "seconds": round(time.monotonic() - began, 1),
            }
        records.append(record)
        with file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
    return records


def table(records: Sequence[dict[str, Any]]) -> str:
    """Format both curves as Markdown, with the epoch that each chooses."""
    first = records[0]
    heads = [f"{kind}: {first[kind]['sentences']} × {first[kind]['draws']} draws | s" for kind in KINDS]
    lines = [f"| epoch | {' | '.join(heads)} |", "|---:" * 5 + "|"]
    for record in records:
        cells = [
            f"{record[kind]['value']:.2f} ± {record[kind]['se']:.2f} | {record[kind]['seconds']:.0f}"
            for kind in KINDS
        ]
        lines.append(f"| {record['epoch']} | {' | '.join(cells)} |")
    notes = []
    for kind in KINDS:
        values = [record[kind]["value"] for record in records]
        notes.append(f"{kind} chooses epoch {records[values.index(min(values))]['epoch']}")
    notes.append(f"the run validates every {first['every']} epochs")
    return "\n".join([*lines, "", "; ".join(notes)])


if __name__ == "__main__":
    sys.exit(main())
