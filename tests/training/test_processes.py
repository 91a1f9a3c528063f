"""Two processes, or accumulated parts of a batch, train as one process does, up to the order of sums."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sritool.config.samplers import SAMPLERS
from sritool.config.settings import RunConfig
from sritool.config.values import build, merge
from sritool.data.options import PrepareOptions
from sritool.errors import UsageError
from sritool.methods.registry import METHODS
from sritool.processes import ALONE, Processes
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import BEST, LAST, METRICS
from sritool.training import events
from sritool.training.loop import Limits, Trainer
from support.group import in_group
from support.runs import SMALL, MemoryCorpus

STEPS = 50
OURS: dict[str, Any] = {
    "generator": {"weight_drop": 0.2, "word_dropout": 0.1},
    # 22 sentences: the last batch of an epoch has one sentence, so one of two processes has none.
    "training": {"epochs": 14, "batch_size": 7, "measure_every": 5, "save_every": 1000},
    "validation": {"share": 1e-6},
    "lagging": {"updates": 3, "judge_every": 2},
    "refinement": {"steps": 2},
    "optimizer": {"ema_decay": 0.9},
}
CASES: dict[str, dict[str, Any]] = {name: {"method": name} for name in METHODS if name != "sri"}
CASES["lm"]["generator"] = {"latent": 0}
CASES["sa-vae"]["refinement"] = {"clip": 0.05, "clip_over": "batch"}
CASES["vae-anneal"]["generator"] = {"tied_embeddings": True}
CASES["sri, a language model first"] = {"method": "sri", "training": {"language_model": 0.5}}
CASES["sri, tuned"] = {"method": "sri", "training": {"tune_step_every": 3}}
for name, preset in SAMPLERS.items():
    few = {"steps": 3, "words": 4 if preset["sampler"]["preconditioned"] else 0}
    CASES[f"sri, {name}"] = {"method": "sri", **merge(preset, {"sampler": few, "training": {}})}
    CASES[f"sri, {name}"]["training"] = {"tune_step_every": 0}


@functools.cache
def text() -> MemoryCorpus:
    return MemoryCorpus(Path("data"), PrepareOptions(min_count=1))


def run(
    folder: Path, case: str, processes: Processes = ALONE, steps: int = STEPS, accumulate: int = 1
) -> dict[str, Any]:
    """Begin or resume the run of a case; return its final state."""
    values = merge(merge(SMALL, OURS), merge(CASES[case], {"training": {"accumulate": accumulate}}))
    folder.mkdir(exist_ok=True)
    last = folder / LAST
    resume = load_checkpoint(last) if processes.is_first and last.is_file() else None
    seen: list[events.Event] = []
    trainer = Trainer(
        text(),
        build(RunConfig, values),
        folder,
        torch.device("cpu"),
        Limits(steps),
        seen.append,
        resume,
        processes=processes,
    )
    outcome = trainer.run()
    assert bool(seen) == processes.is_first
    return {
        "weights": {n: w.numpy().copy() for n, w in trainer.state.method.modules.state_dict().items()},
        "position": {k: v for k, v in vars(trainer.state.position).items() if "seconds" not in k},
        "state": trainer.state.method.state(),
        "steps": outcome.steps,
        "sentences": trainer.times._sentences,
    }


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, weight in expected["weights"].items():
        np.testing.assert_allclose(found["weights"][name], weight, rtol=0, atol=1e-5, err_msg=name)
    for part in ("position", "state"):
        numbers = {name: value for name, value in expected[part].items() if value is not None}
        assert found[part] == pytest.approx(numbers, rel=1e-3), part
    assert found["steps"] == expected["steps"]


def both(processes: Processes, folder: Path) -> dict[str, Any]:
    """Run every case in these processes; some cases also resume from one process, or stop half-way."""
    found = {case: run(folder / f"together {case}", case, processes) for case in CASES}
    for case in RESUMED:
        found[f"{case} from one"] = run(folder / f"from one {case}", case, processes)
        run(folder / f"from two {case}", case, processes, steps=STEPS // 2)
    return found


RESUMED = ("sri, preconditioned", "vae-fb")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    for case in RESUMED:
        run(folder / f"from one {case}", case, steps=STEPS // 2)
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> Callable[[str], dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}

    def found(case: str) -> dict[str, Any]:
        if case not in known:
            known[case] = run(folder / f"alone {case}", case)
        return known[case]

    return found


@pytest.fixture(scope="module")
def together(folder: Path) -> list[dict[str, Any]]:
    (folder / "met").mkdir()
    results = in_group(folder / "met", both, folder)
    assert None not in results, "a process ended with an error"
    return results


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_what_one_does(
    case: str, alone: Callable[[str], dict[str, Any]], together: list[dict[str, Any]], folder: Path
) -> None:
    first, second = (found[case] for found in together)
    assert_same(first, alone(case))
    assert first["sentences"] + second["sentences"] == alone(case)["sentences"], (
        "each process must count its own share"
    )
    for name, weight in first["weights"].items():
        assert np.array_equal(weight, second["weights"][name]), f"the processes differ in {name}"
    names = {path.name for path in (folder / f"together {case}").iterdir()}
    assert {BEST, LAST, METRICS} <= names


@pytest.mark.slow
@pytest.mark.parametrize("case", RESUMED)
def test_resume_with_another_number_of_processes(
    case: str, alone: Callable[[str], dict[str, Any]], together: list[dict[str, Any]], folder: Path
) -> None:
    assert_same(together[0][f"{case} from one"], alone(case))
    assert_same(run(folder / f"from two {case}", case), alone(case))


def test_clipping_over_the_batch_excludes_accumulation(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"clip_over=batch.*--accumulate"):
        run(tmp_path / "parts", "sa-vae", accumulate=2)


@pytest.mark.parametrize("case", ["lm", "vae-anneal", "vae-lagging", "sri, preconditioned", "sri, authors"])
def test_accumulated_parts_train_as_one_batch(
    case: str, alone: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    assert_same(run(tmp_path / "parts", case, accumulate=3), alone(case))
