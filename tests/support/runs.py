"""A corpus in memory, and runs on it that take a second or less."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from sritool.config.settings import RunConfig
from sritool.config.values import build, merge
from sritool.data.options import PrepareOptions
from sritool.data.prepare import prepare
from sritool.data.sentences import CorpusText, Sentences
from sritool.data.store import Corpus
from sritool.errors import SritoolError
from sritool.runs.checkpoint import Checkpoint, load_checkpoint
from sritool.runs.folder import LAST
from sritool.training import events
from sritool.training.loop import Limits, Outcome, Trainer

SUBJECTS = ("a gardener", "the old pilot", "one nurse")
VERBS = ("greets", "paints", "never follows")
THINGS = ("a lantern", "kites", "the big red barrel")


class MemoryCorpus(Corpus):
    """A prepared corpus that is never written to disk."""

    def __init__(self, path: Path, options: PrepareOptions) -> None:
        texts = [f"{who} {does} {what}" for who in SUBJECTS for does in VERBS for what in THINGS]
        splits = {"train": texts[:22], "valid": texts[20:], "test": texts[5:15]}
        raw = CorpusText("a test", {name: Sentences(lines) for name, lines in splits.items()})
        prepared = prepare("toy", raw, options)
        super().__init__(path, prepared.info, prepared.tokenizer, splits=prepared.splits)
        self.prepared = prepared


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """27 sentences: 22 train, 7 valid, 10 test, 17 words or so."""
    return MemoryCorpus(tmp_path_factory.mktemp("data"), PrepareOptions(min_count=1))


@pytest.fixture(scope="session")
def subword_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The same sentences as SentencePiece pieces."""
    return MemoryCorpus(tmp_path_factory.mktemp("data"), PrepareOptions(tokenizer="bpe", vocab_size=40))


SMALL: dict[str, Any] = {
    "generator": {"embedding": 4, "hidden": 6, "latent": 3},
    "sampler": {
        "steps": 3,
        "step_sizes": [0.2, 0.1],
        "temperature": 0.3,
        "chain_dropout": True,
        "preconditioned": True,
        "words": 4,
    },
    "optimizer": {"learning_rate": 0.01},
    "training": {"epochs": 2, "batch_size": 8, "patience": 0, "precision": "float32", "save_every": 2},
    "validation": {
        "share": 0.0,
        "sentences": 5,
        "likelihood": {"samples": 4, "pilots": 6, "rounds": 1, "modes": 1},
    },
}


@pytest.fixture(scope="session")
def settings() -> Callable[..., RunConfig]:
    """A small configuration of a method with some settings changed; it takes 3 steps per epoch."""

    def make(method: str = "sri", **changes: dict[str, Any]) -> RunConfig:
        values = merge(SMALL, {"method": method, **changes})
        own = {
            "lm": {"generator": {"latent": 0}},
            "vae-lagging": {"lagging": {"updates": 3, "judge_every": 2}},
        }
        values = merge(values, own.get(method, {}))
        return build(RunConfig, values)

    return make


class Run:
    """One run folder; `train` starts or resumes it and keeps its events."""

    def __init__(self, corpus: Corpus, folder: Path, config: RunConfig) -> None:
        folder.mkdir(parents=True)
        self.corpus, self.folder, self.config = corpus, folder, config
        self.events: list[events.Event] = []
        self.trainer: Trainer | None = None

    def make(self, observer: events.Observer | None = None, **limits: Any) -> Trainer:
        """Return a trainer, resumed from last.pt if it exists."""

        def observe(event: events.Event) -> None:
            self.events.append(event)
            if observer is not None:
                observer(event)

        last = self.folder / LAST
        resume = load_checkpoint(last) if last.is_file() else None
        config = resume.config if resume else self.config
        where = torch.device("cpu")
        self.trainer = Trainer(self.corpus, config, self.folder, where, Limits(**limits), observe, resume)
        return self.trainer

    def train(self, observer: events.Observer | None = None, **limits: Any) -> Outcome:
        return self.make(observer, **limits).run()

    def stopped(self, error: type[BaseException], **given: Any) -> Any:
        """Train and return the error that ends it."""
        with pytest.raises(error) as caught:
            self.train(**given)
        if issubclass(error, SritoolError):
            assert "\n" not in str(caught.value)
        return caught.value

    def load(self, name: str = LAST) -> Checkpoint:
        return load_checkpoint(self.folder / name)

    def told(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(scope="session")
def begin_run(corpus: Corpus, settings: Callable[..., RunConfig]) -> Callable[..., Run]:
    """Make a run in a given folder, without starting it."""

    def make(folder: Path, method: str = "sri", name: str = "run", **changes: Any) -> Run:
        return Run(corpus, folder / name, settings(method, **changes))

    return make


@pytest.fixture
def new_run(tmp_path: Path, begin_run: Callable[..., Run]) -> Callable[..., Run]:
    """Make a run in the test's own folder, without starting it."""
    return partial(begin_run, tmp_path)
