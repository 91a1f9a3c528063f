"""Reconstruction from noisy sentences, against a generator and an inference written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sritool.analysis import noisy_recon as task
from sritool.analysis.noisy_recon import Request, noisy_recon
from sritool.analysis.noisy_text import read_noisy
from sritool.errors import NumericalError, UsageError
from sritool.evaluation.evaluations_on_record import load_hashed
from sritool.runs.model import TrainedModel

NewRun = Callable[..., Any]
LINES = [
    "a gardener greets kites",
    "the old pilot paints the big red barrel",
    "one nurse never follows a lantern",
    "kites",
    "one nurse",
    "a gardener paints a gardener",
]


def quiet(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def folders(begin_run: NewRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each of three methods."""
    found = {}
    for method in ("sri", "ae", "lm"):
        run = begin_run(tmp_path_factory.mktemp(method), method, optimizer={"initial_scale": 1.0})
        run.train(max_steps=2)
        found[method] = Path(run.folder)
    return found


@pytest.fixture
def request_of(tmp_path: Path) -> Request:
    """A request for noisy versions of some invented lines, to be written to a file."""
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return Request(text=lines, counts=(1, 2, 4), write=tmp_path / "noisy.tsv", batch_size=2)


@pytest.fixture
def by_hand(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> TrainedModel:
    """z encodes the first word, and p(x|z) is a product over words that depend on z alone.

    Input and output gates are open and the forget gate is shut, so every hidden state is tanh(tanh(A z)).
    """
    model = load_hashed(folders["ae"])
    generator = model.generator
    with torch.no_grad():
        for name in ("words_to_gates", "recurrent", "gate_bias", "latent_to_initial", "initial_bias"):
            getattr(generator, name).zero_()
        hidden = generator.config.hidden
        generator.gate_bias[: 2 * hidden] = 40.0  # the gates o, i, f, g
        generator.gate_bias[2 * hidden : 3 * hidden] = -40.0
        generator.latent_to_gates[: 3 * hidden] = 0.0

    def posterior(conditional: Any, seed: int, chains: int) -> torch.Tensor:
        z = number_of(conditional.batch.targets[0], model.latent)
        return torch.stack([z + chain for chain in range(chains)])

    monkeypatch.setattr(model.method, "posterior", posterior)
    monkeypatch.setattr(task, "load_hashed", lambda *_: model)
    return model


def number_of(words: torch.Tensor, latent: int) -> torch.Tensor:
    return torch.sin(words[:, None].float() * torch.arange(1, latent + 1))


def loss_by_hand(model: TrainedModel, clean: str, noisy: str, chains: int) -> float:
    """Mean over chains of −log p(clean|z), with z from the first word of the noisy sentence."""
    targets = model.split([clean]).targets(0)
    first = torch.tensor([int(model.split([noisy]).targets(0)[0])])
    g = {name: tensor.detach().double().numpy() for name, tensor in model.generator.named_parameters()}
    losses = []
    for chain in range(chains):
        z = (number_of(first, model.latent)[0] + chain).double().numpy()
        gate = g["latent_to_gates"][3 * model.generator.config.hidden :] @ z
        logits = g["output"] @ np.tanh(np.tanh(gate)) + g["output_bias"]
        log_p = logits - np.log(np.exp(logits).sum())
        losses.append(-log_p[targets - 2].sum())
    return float(np.mean(losses))


@pytest.mark.parametrize("kind", ["swap", "drop", "replace"])
def test_losses_by_hand(by_hand: TrainedModel, request_of: Request, kind: str) -> None:
    ((found,), left_out) = noisy_recon([Path()], replace(request_of, kind=kind, chains=3), "cpu", quiet)
    assert left_out == []
    assert request_of.write is not None
    text = read_noisy(request_of.write)
    assert text.clean == LINES
    assert found.counts == (0, 1, 2, 4)
    losses = np.array(
        [
            [loss_by_hand(by_hand, clean, noisy, 3) for clean, noisy in zip(LINES, versions, strict=True)]
            for versions in (LINES, *text.noisy.values())
        ]
    )
    assert_allclose([e.value for e in found.recon], losses.mean(1), rtol=1e-5)
    errors = losses.std(1, ddof=1) / np.sqrt(len(LINES))
    assert_allclose([e.standard_error for e in found.recon], errors, rtol=1e-4)
    paired = losses - losses[0]
    assert_allclose([e.value for e in found.increase], paired.mean(1), atol=1e-5)
    errors = paired.std(1, ddof=1) / np.sqrt(len(LINES))
    assert_allclose([e.standard_error for e in found.increase], errors, atol=1e-5)
    assert np.ptp([e.value for e in found.increase]) > 0.01
    assert {e.draws for e in (*found.recon, *found.increase)} == {3}
    changed = [sum(a != b for a, b in zip(LINES, text.noisy[k], strict=True)) / 6 for k in (1, 2, 4)]
    assert found.changed == [0.0, *changed]
    room = {"swap": [0, 1, 1, 1], "drop": [0, 1, 2, 3], "replace": [0, 0, 1, 2]}
    assert found.short == room[kind]


def test_permuted_uses_another_sentences_code(by_hand: TrainedModel, request_of: Request) -> None:
    from sritool.evaluation.metrics import derangement

    ((found,), _) = noisy_recon([Path()], replace(request_of, seed=3), "cpu", quiet)
    others = [LINES[j] for j in derangement(len(LINES), 3)]
    pairs = list(zip(LINES, others, strict=True))
    costs = [loss_by_hand(by_hand, a, b, 2) - loss_by_hand(by_hand, a, a, 2) for a, b in pairs]
    assert found.permuted is not None
    assert found.permuted.value == pytest.approx(np.mean(costs), abs=1e-5)
    assert found.notes == [] or found.permuted.value < 0.1 + 2 * found.permuted.standard_error


def test_model_that_ignores_z_has_flat_losses(by_hand: TrainedModel, request_of: Request) -> None:
    with torch.no_grad():
        by_hand.generator.output.zero_()
    ((found,), _) = noisy_recon([Path()], request_of, "cpu", quiet)
    bias = by_hand.generator.output_bias.detach().double().log_softmax(0).numpy()
    split = by_hand.split(LINES)
    assert [e.value for e in found.recon] == [pytest.approx(-bias[split.ids - 2].sum() / 6, rel=1e-5)] * 4
    assert [e.value for e in found.increase] == [0.0] * 4
    assert "ignores z, or nearly (another sentence's z costs 0.00 ± 0.00 nats)" in found.notes[0]


def test_versions_share_the_chain_noise(folders: dict[str, Path], tmp_path: Path) -> None:
    """A single word cannot be swapped, so all versions are equal, and with the same noise so are their losses."""
    lines = tmp_path / "words.txt"
    lines.write_text("kites\nlantern\npaints\n", encoding="utf-8")
    ((found,), _) = noisy_recon([folders["sri"]], Request(text=lines), "cpu", quiet)
    assert found.counts == (0, 1, 2, 3, 4)
    assert found.short == [0, 3, 3, 3, 3]
    assert [e.value for e in found.increase] == [0.0] * 5


def test_batch_size_and_written_text_change_nothing(folders: dict[str, Path], request_of: Request) -> None:
    ((found,), _) = noisy_recon([folders["sri"]], request_of, "cpu", quiet)
    ((other,), _) = noisy_recon([folders["sri"]], replace(request_of, batch_size=64), "cpu", quiet)
    assert_allclose([e[1:3] for e in other.recon], [e[1:3] for e in found.recon], rtol=1e-5)
    assert request_of.write is not None
    header, *rows = request_of.write.read_text(encoding="utf-8").splitlines()
    request_of.write.write_text("\n".join([header, *rows[::-1]]) + "\n", encoding="utf-8")
    ((again,), _) = noisy_recon([folders["sri"]], Request(noisy=request_of.write), "cpu", quiet)
    assert again.counts == found.counts
    assert_allclose([e[1:3] for e in again.recon], [e[1:3] for e in found.recon], rtol=1e-5)
    assert (again.noise, again.short, again.changed) == ("noisy.tsv", [0, None, None, None], found.changed)


def test_stopped_measurement_resumes(folders: dict[str, Path], request_of: Request) -> None:
    whole, _ = noisy_recon([folders["sri"]], request_of, "cpu", quiet)
    seen: list[tuple[str, int]] = []

    def stop(stage: str, done: int, total: int) -> None:
        seen.append((stage, done))
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        noisy_recon([folders["sri"]], request_of, "cpu", stop)
    assert seen == [("noisy reconstruction", 0), ("noisy reconstruction", 2), ("noisy reconstruction", 4)]
    ((found,), _) = noisy_recon([folders["sri"]], request_of, "cpu", quiet)
    assert found.notes[-1] == "went on after 2 batches that were done before"
    assert found._replace(notes=[]) == whole[0]._replace(notes=[])
    assert not list(folders["sri"].glob(".evaluate-*"))


def test_a_stop_at_a_later_run_keeps_the_earlier_one(folders: dict[str, Path], request_of: Request) -> None:
    runs = [folders["sri"], folders["ae"]]
    whole, _ = noisy_recon(runs, request_of, "cpu", quiet)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == f"{folders['ae']}: noisy reconstruction" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        noisy_recon(runs, request_of, "cpu", stop)
    seen: list[tuple[str, int]] = []
    found, _ = noisy_recon(runs, request_of, "cpu", lambda stage, done, total: seen.append((stage, done)))
    of_first = {done for stage, done in seen if stage == f"{folders['sri']}: noisy reconstruction"}
    assert of_first == {len(LINES)}  # nothing is inferred again
    assert [run._replace(notes=[]) for run in found] == [run._replace(notes=[]) for run in whole]
    assert not [*folders["sri"].glob(".evaluate-*"), *folders["ae"].glob(".evaluate-*")]


def test_models_without_z_are_left_out(folders: dict[str, Path], request_of: Request) -> None:
    found, left_out = noisy_recon([folders["lm"], folders["ae"]], request_of, "cpu", quiet)
    assert [run.method for run in found] == ["ae"]
    assert left_out == [f"{folders['lm']}: left out, as lm has no z"]
    with pytest.raises(UsageError, match="method lm has no z"):
        noisy_recon([folders["lm"]], request_of, "cpu", quiet)


def test_refused_measurements(by_hand: TrainedModel, request_of: Request) -> None:
    with pytest.raises(UsageError, match="at most 1000"):
        noisy_recon([Path()], replace(request_of, counts=(1001,)), "cpu", quiet)
    with pytest.raises(UsageError, match="no noise 'shuffle'"):
        noisy_recon([Path()], replace(request_of, kind="shuffle"), "cpu", quiet)
    with torch.no_grad():
        by_hand.generator.output_bias.fill_(float("nan"))
    with pytest.raises(NumericalError, match="not finite"):
        noisy_recon([Path()], request_of, "cpu", quiet)
