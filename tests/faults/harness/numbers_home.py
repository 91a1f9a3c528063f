"""A folder with corpora and models of the smallest possible sizes, and models whose numbers overflow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from sritool.runs.checkpoint import load_checkpoint, save_checkpoint
from support.program import small_settings, sritool

NOUNS = ("weaver", "candle", "badger", "ladder", "piper", "kite")
LINES = [f"the {one} {does} the {other}" for one in NOUNS for does in ("meets", "moves") for other in NOUNS]

TEXTS = {
    "mine": LINES,
    "word": ["go"] * 7 + ["go go"] * 7 + ["go go go"] * 6,  # one word, and <unk>
    "same": ["the badger sleeps"] * 20,
    "lone": ["an owl"],  # words that `mine` does not have
}
LABELS = {
    "one": [f"x\t{line}" for line in LINES[:12]],
    "two": [f"{'xy'[i % 2]}\t{line}" for i, line in enumerate(LINES[:12])],
    "pair": [f"x\t{LINES[0]}", f"y\t{LINES[1]}"],
    "equal": [f"{'xy'[i % 2]}\t{LINES[0]}" for i in range(12)],
}

COMMANDS = (
    "preprocess mine.txt --name mine --valid-share 0.2 --test-share 0.3",
    *(
        f"preprocess --train {name}.txt --valid {name}.txt --test {name}.txt --name {name} --min-count 1"
        for name in ("word", "same")
    ),
    "preprocess --train mine.txt --valid lone.txt --test lone.txt --name lone --min-count 1",
    "train mine",
    "train mine --method lm",
    "train mine --method vae-anneal",
    "train word --latent 1",
    "train same --latent 1 --hidden 1 --embedding 1 --dropout 0.999",
    "train lone --batch-size 1000",
    "train lone --method lm --batch-size 1 --max-steps 1",
)


def make_home() -> None:
    """Make the corpora and runs above and the damaged runs in the current folder."""
    Path("small.toml").write_text(small_settings(embedding=4, hidden=6, latent=3), encoding="utf-8")
    for name, lines in (*TEXTS.items(), *LABELS.items()):
        ending = "tsv" if name in LABELS else "txt"
        Path(f"{name}.{ending}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for command in COMMANDS:
        settings = (
            ["--config", "small.toml", "--no-summary", "--threads", 1] if "train" in command[:5] else []
        )
        result = sritool(*command.split(), *settings)
        assert result.exit_code == 0, (command, result.stderr)
    for method in ("sri", "lm", "vae-anneal"):
        damage(f"mine-{method}", f"huge-{method}", lambda weights: [w.mul_(1e38) for w in weights.values()])
    damage("mine-sri", "jumps", step_sizes=(1e6,), exponential=False)
    damage("mine-sri", "creeps", step_sizes=(10.0,), steps=20, exponential=False, truncation=0.0)
    damage("mine-sri", "boils", evaluation_temperature=1e30)


def damage(
    source: str, name: str, change: Callable[[dict[str, Tensor]], object] | None = None, **sampler: object
) -> None:
    """Write runs/NAME/best.pt: a run's model with other weights or another chain, all of them finite."""
    folder = Path("runs", name)
    folder.mkdir()
    checkpoint = load_checkpoint(Path("runs", source, "best.pt"))
    weights = {key: value.clone() for key, value in checkpoint.weights.items()}
    if change is not None:
        change(weights)
    chain = dataclasses.replace(checkpoint.config.sampler, **sampler)  # type: ignore[arg-type]
    config = dataclasses.replace(checkpoint.config, sampler=chain)
    save_checkpoint(dataclasses.replace(checkpoint, weights=weights, config=config), folder / "best.pt")
