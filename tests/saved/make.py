"""Write the tiny corpora and runs that later versions must read: `python tests/saved/make.py FOLDER`.

FOLDER, such as tests/saved/v1, must not exist yet: what a version wrote is never changed, and a version that writes
another format gets a folder of its own. The text is invented. On one machine with the same packages every call
writes the same files: times, paths and random names in them are replaced by constants.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

SETTINGS = """\
[generator]
embedding = 4
hidden = 6
latent = 3

[sampler]
steps = 3

[training]
epochs = 2
batch_size = 8
patience = 0
precision = "float32"

[validation]
share = 0.0
sentences = 4

[validation.likelihood]
samples = 4
pilots = 8
rounds = 1
modes = 1
"""

COMMANDS = (
    "preprocess --train train.tsv --valid valid.tsv --test test.tsv --name words --min-count 1",
    "preprocess --train train.tsv --valid valid.tsv --test test.tsv --name pieces --tokenizer bpe --vocab-size 40",
    "train words --method lm",
    "train words --sampler tempered --max-steps 9",  # in the second of two epochs of 6 steps
    "train words --method vae-lagging --set lagging.updates=3 --set lagging.judge_every=2 --max-steps 9",
    "train words --method vae-fb --pretraining-epochs 2 --max-steps 9",  # still an autoencoder
    "train pieces --method vae-anneal",
)
KEPT = {
    "words-lm": ["best.pt"],
    "words-sri": ["best.pt", "last.pt", "metrics.jsonl"],
    "words-vae-lagging": ["last.pt", "metrics.jsonl"],
    "words-vae-fb": ["last.pt", "metrics.jsonl"],
    "pieces-vae-anneal": ["best.pt"],
}
METRICS = "ppl,nll,posterior-kl,recon,kl"
MEASURED = ("words-lm", "words-sri", "pieces-vae-anneal")
SENTENCES = ("the heron lifts a kettle", "a mason paints the lantern upstairs")


def invented(count: int) -> list[str]:
    """Distinct labelled sentences of five or six words."""
    nouns = ("heron", "kettle", "lantern", "mason")
    every = itertools.product(nouns, ("lifts", "paints"), nouns, ("", " upstairs"), ("the", "a"))
    lines = [
        f"{'inside' if where else 'outside'}\t{end} {one} {does} {end} {other}{where}"
        for one, does, other, where, end in every
    ]
    return lines[:: len(lines) // count][:count]


def run(*words: str) -> str:
    """Run `sritool WORDS` in this process and the current folder, and return its stdout."""
    from typer.testing import CliRunner

    from sritool.cli.app import app

    done = CliRunner().invoke(app, list(words), prog_name="sritool")
    if done.exit_code:
        raise SystemExit(f"sritool {' '.join(words)}: {done.stderr}")
    return done.stdout


def without_times(value: Any) -> Any:
    """Replace every number of seconds in nested values by 0."""
    if isinstance(value, dict):
        return {
            key: 0.0 if "seconds" in str(key) or key == "tokens_per_second" else without_times(item)
            for key, item in value.items()
        }
    return [without_times(item) for item in value] if isinstance(value, list) else value


def keep_checkpoint(source: Path, target: Path) -> None:
    """Save a checkpoint as the current version writes it, without times and without this machine's folders."""
    from sritool.runs.checkpoint import load_checkpoint, save_checkpoint

    found = load_checkpoint(source)
    trainer = None if found.trainer is None else dict(found.trainer)
    if trainer is not None:
        trainer["position"] = without_times(trainer["position"])
    kept = replace(
        found,
        corpus=replace(found.corpus, path=f"/home/student/data/{found.corpus.name}"),
        progress=replace(found.progress, seconds=0.0),
        metrics=without_times(found.metrics),
        trainer=trainer,
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(kept, target)


def keep_metrics(source: Path, target: Path) -> None:
    """Copy metrics.jsonl without times."""
    records = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    lines = [json.dumps(without_times(record)) + "\n" for record in records]
    target.write_text("".join(lines), encoding="utf-8")


def keep_corpus(source: Path, target: Path) -> None:
    """Copy a prepared corpus with a constant for the random name that `datasets` gives each split."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        content = file.read_bytes()
        if file.name == "state.json":
            state = json.loads(content) | {"_fingerprint": "0" * 16}
            content = json.dumps(state, indent=2, sort_keys=True).encode() + b"\n"
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)


def figures(folder: Path) -> dict[str, Any]:
    """Return what the current version measures on the kept files."""
    import sritool
    from sritool.evaluation.posterior_codes import CodeSettings, codes_of_text

    data = ("--data-dir", str(folder / "data"))
    found: dict[str, Any] = {"sritool": sritool.__version__, "evaluate": {}, "score": {}, "codes": {}}
    for name in MEASURED:
        checkpoint = str(folder / "runs" / name / "best.pt")
        table = run("evaluate", checkpoint, "--metrics", METRICS, "--format", "json", "--threads", "1", *data)
        rows = [json.loads(line) for line in table.splitlines()]
        found["evaluate"][name] = {
            row["metric"]: row["value"] for row in rows if row.get("metric") in METRICS.split(",")
        }
        model = sritool.load(checkpoint)
        found["score"][name] = [float(value) for value in model.log_likelihood(list(SENTENCES))]
        if name != "words-lm":
            found["codes"][name] = codes_of_text(model, SENTENCES, CodeSettings(5))[:, 0].tolist()
        (folder / "runs" / name / "evaluations.jsonl").unlink(missing_ok=True)
    return found


def main(target: Path) -> None:
    """Prepare, train, keep and measure."""
    if target.exists():
        raise SystemExit(f"{target} already exists and is never changed; give a new folder")
    target = target.resolve()
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        Path("small.toml").write_text(SETTINGS, encoding="utf-8")
        lines = invented(64)
        parts = {"train": lines[:46], "valid": lines[46:54], "test": lines[54:]}
        for split, rows in parts.items():
            Path(f"{split}.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n", encoding="utf-8")
        for command in COMMANDS:
            more = ["--config", "small.toml", "--threads", "1", "--no-summary", "--quiet"]
            run(*command.split(), *(more if command.startswith("train") else []))
        for name in ("words", "pieces"):
            keep_corpus(Path("data", name), target / "data" / name)
        for name, files in KEPT.items():
            for file in files:
                keep = keep_metrics if file.endswith(".jsonl") else keep_checkpoint
                keep(Path("runs", name, file), target / "runs" / name / file)
        text = json.dumps(figures(target), indent=2)
    (target / "figures.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tests/saved/make.py FOLDER")
    main(Path(sys.argv[1]))
