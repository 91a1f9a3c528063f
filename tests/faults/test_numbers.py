"""Overflowing numbers and degenerate sizes: they work, or end in a one-line error; nothing is silent.

An undefined figure is marked in every format (`cli.formats`): `nan` and `inf` in TSV, null in JSON, a word for
people, and a note on stderr for each of them.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import Result

from faults.harness.numbers_home import make_home
from sritool.config.settings import GeneratorConfig, RunConfig
from sritool.data.batches import Batch
from sritool.data.tokenizer import PAD
from sritool.errors import NumericalError
from sritool.evaluation.metrics import Estimate
from sritool.inference.langevin import FARTHEST, Chain, Dynamics, reach, settled
from sritool.methods.base import Clock
from sritool.methods.registry import METHODS
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.metrics_log import MetricsLog
from sritool.training import validation
from support.program import sritool

TRAIN = "train mine --config small.toml --threads 1 --no-summary --name new"
NO_NUMBER = re.compile(r"(?<![\w.])(nan|inf|infinity)(?![\w])", re.IGNORECASE)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_home()
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, as the current folder."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def run(command: str, stdin: str | None = None) -> Result:
    """Run `sritool COMMAND`; warnings of libraries, which the user would see, are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("error", UserWarning)
        return sritool(*shlex.split(command), stdin=stdin)


def check(command: str, code: int, *parts: str, stdin: str | None = None) -> Result:
    """Check the exit code and parts of stderr: a one-line error, or a note on every undefined figure."""
    result = run(command, stdin)
    assert result.exit_code == code, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for part in parts:
        assert part in result.stderr, result.stderr
    if code:
        assert len(errors) == 1
        assert result.stderr.splitlines()[-1] == errors[0]
        assert result.stdout == ""
        return result
    assert not errors
    if "-f json" in command:
        records = [json.loads(line, parse_constant=pytest.fail) for line in result.stdout.splitlines()]
        assert records
    for word in {match.group(1) for match in NO_NUMBER.finditer(result.stdout)}:
        assert f"{word} in " in result.stderr, "a note must name the column"
    return result


WORKS = [
    *(
        f"evaluate {run} --metrics all --limit {limit} --again -f {fmt}"
        for run in ("word-sri", "same-sri", "lone-sri", "lone-lm")
        for limit, fmt in ((1, "json"), (2, "tsv"))
    ),
    "evaluate word-sri --metrics all --estimator sri --samples 2 --limit 1 -f json",
    "evaluate word-sri --metrics all --estimator ais --rungs 1 --samples 2 --limit 2 -f json",
    "evaluate word-sri --limit 1 --curve",
    "evaluate word-sri --limit 1 --per-sentence -f json",
    "evaluate word-sri --certify 2 --rungs 1 -f json",
    "evaluate mine-sri --samples 2 --pilots 2 --limit 2",
    "evaluate mine-vae-anneal --estimator encoder --samples 2 --limit 1 -f json",
    "evaluate mine-vae-anneal --refine-steps 1 --limit 1 -f json",
    "compare mine-sri mine-lm --limit 1 -f json",
    "compare mine-sri mine-lm --limit 1 -f latex",
    "score lone-sri --samples 2 -f json",
    "encode same-sri --chains 1 -f json",
    "noisy-recon word-sri --limit 1 --noise drop",
    "noisy-recon lone-sri --k 0 -f json",
    "interpolate word-sri --spherical -n 1",
    "interpolate mine-sri --spherical --between 'the kite' 'the kite' --points 2",
    "sample mine-sri -n 1 --metrics unique,distinct-1,distinct-2,self-bleu,nll --reference -f json",
    "sample mine-sri -n 2 --temperature 1e-9",
    "sample mine-lm -n 2 --temperature 1e9 --top-k 1000000000",
    "sample word-sri -n 2 --beam 100 --max-length 2",
    "sample mine-sri -n 1 --max-length 1",
    "tune-step word-sri --limit 1 --chains 4 -f json",
    "tune-step mine-sri --limit 2 --chains 8 --grid 2,1",
    "tune-step creeps --limit 1 --chains 8",
    "tune-step mine-sri --limit 1 --chains 8 --temperature 0",
    "plot ppl-draws lone-sri --show-data",
    "plot latent word-sri --show-data -f json --limit 20",
    "plot traversal word-sri --show-data -f json",
    "classify mine-sri --labelled pair.tsv --test two.tsv --no-zero -f json",
    "classify mine-sri --labelled equal.tsv --test equal.tsv --train equal.tsv --valid equal.tsv --draws 1",
    "classify word-sri --labelled two.tsv --test pair.tsv --no-zero --limit 1",
    "report lone-sri -o page.html --limit 2 --n 1 --map-sentences 3",
    f"{TRAIN} --batch-size 1000 --epochs 1 --patience 5",
    f"{TRAIN} --method vae-lagging --latent 1 --set lagging.updates=2 --max-steps 2",
    f"{TRAIN} --set training.sentences=1 --langevin-steps 1 --max-steps 1",
]


@pytest.mark.parametrize("command", WORKS)
def test_degenerate_sizes_work(here: Path, command: str) -> None:
    stdin = "the kite\n\nzz\n" if command.split()[0] in ("score", "encode") else None
    check(command, 0, stdin=stdin)


REFUSED = [
    *(
        (f"{TRAIN} --set {setting}", 2, f"setting {setting.partition('=')[0]}")
        for setting in (
            "sampler.steps=0",
            "sampler.step_sizes=[0.1,0]",
            "sampler.step_sizes=[nan]",
            "sampler.temperature=-1",
            "sampler.temperature.quantum=nan",
            "optimizer.learning_rate=inf",
            "optimizer.decay=-1",
            "training.epochs=1000000000000",
            "training.seed=9223372036854775808",
            "generator.hidden=1000000000000",
            "validation.likelihood.samples=1",
        )
    ),
    ("evaluate mine-sri --chains 1000000000000", 2, "give at most 1000000"),
    ("evaluate mine-sri --seed 9223372036854775808", 2, "--seed"),
    ("evaluate mine-sri --samples 1", 2, "--samples"),
    ("evaluate mine-sri --split foo", 2, "'train', 'valid', 'test'"),
    ("evaluate mine-vae-anneal --refine-steps 2 --refine-rate nan", 2, "--refine-rate is nan"),
    ("sample mine-sri -n 0", 2, "--n"),
    ("sample mine-sri -n 1000000000000", 2, "give at most"),
    ("sample mine-sri --temperature nan", 2, "temperature nan"),
    ("sample mine-sri --temperature 1e-300", 2, "give one from"),
    ("sample mine-sri --temperature inf", 2, "give one from"),
    ("sample mine-sri --top-p nan", 2, "top-p nan"),
    ("sample mine-sri -n 4 --metrics reverse-ppl", 2, "at least 20 sentences"),
    ("encode mine-sri --chains 0", 2, "--chains"),
    ("tune-step mine-sri --grid nan", 2, "not a list of numbers"),
    ("tune-step mine-sri --temperature nan", 2, "the temperature is nan"),
    ("tune-step mine-sri --limit 1 --chains 2", 2, "have no covariance"),
    ("tune-step mine-sri --limit 1 --chains 8 --grid 1e6,1e30", 2, "takes 2 at most"),
    ("plot traversal mine-sri --reach inf", 2, "reach inf"),
    ("plot latent lone-sri", 2, "20 sentences or more, not 1"),
    ("classify mine-sri --labelled one.tsv --test one.tsv --no-zero", 3, "one label only"),
    ("classify word-sri --pca 2 --labelled two.tsv --test two.tsv", 2, "--pca 2 is more than the 1"),
    ("preprocess mine.txt --name x --valid-share nan", 2, "--valid-share"),
    ("preprocess mine.txt --name x --max-length 1000000000000000000000", 2, "--max-length"),
    ("preprocess lone.txt --name x", 3, "one sentence only"),
    ("preprocess --train lone.txt --valid lone.txt --test lone.txt --name x", 3, "at least 2"),
    (
        "preprocess --train same.txt --valid same.txt --test same.txt --name x --min-count 100",
        3,
        "no word occurs 100 times",
    ),
]


@pytest.mark.parametrize(("command", "code", "part"), REFUSED)
def test_impossible_values_are_refused(here: Path, command: str, code: int, part: str) -> None:
    check(command, code, part, stdin="the kite\n" if command.startswith("encode") else None)


WEIGHT_COMMANDS = (
    "evaluate {} --limit 4 --metrics all",
    "evaluate {} --limit 4 --estimator ais --rungs 2",
    "evaluate {} --certify 2 --rungs 2",
    "compare {} mine-lm --limit 4",
    "score {}",
    "encode {}",
    "sample {} -n 2",
    "sample {} -n 2 --ancestral",
    "sample {} -n 2 --beam 3",
    "interpolate {} -n 1",
    "noisy-recon {} --limit 4",
    "tune-step {} --limit 1 --chains 8",
    "plot traversal {}",
    "classify {} --labelled two.tsv --test two.tsv --no-zero",
    "report {} --limit 4 --n 2 -o page.html",
)
CHAIN_COMMANDS = tuple(
    command for command in WEIGHT_COMMANDS if command.split()[0] in ("evaluate", "encode", "noisy-recon")
)
EXCEPT = {  # a model without z or a chain is refused before its numbers are used
    "huge-lm": (
        "certify",
        "encode",
        "interpolate",
        "noisy-recon",
        "tune-step",
        "traversal",
        "classify",
        "ais",
    ),
    "huge-vae-anneal": ("tune-step", "encode", "classify"),  # its codes are finite, of size 1e36
    "huge-sri": ("encode",),  # its gradient is 0, as everything is saturated
}


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *(
            (name, command)
            for name in ("huge-sri", "huge-lm", "huge-vae-anneal")
            for command in WEIGHT_COMMANDS
            if not any(word in command for word in EXCEPT.get(name, ()))
        ),
        *((name, command) for name in ("jumps", "creeps", "boils") for command in CHAIN_COMMANDS),
    ],
)
def test_overflowing_model_exits_with_4(here: Path, name: str, command: str) -> None:
    given = "the kite\nthe badger moves\nthe weaver meets the badger\n"
    check(command.format(name), 4, stdin=given if command.split()[0] in ("score", "encode") else None)
    assert not Path("page.html").exists()


def test_exploding_chain_names_its_steps_and_a_remedy(here: Path) -> None:
    check("evaluate creeps --limit 2", 4, "creeps: ", "after 20 steps of 10, 10, 10, …", "sritool tune-step")


@pytest.mark.parametrize(
    "method", ["sri", "lm", "ae", "vae-anneal", "vae-cyclical", "vae-lagging", "sa-vae", "vae-fbp", "vae-fb"]
)
@pytest.mark.parametrize("setting", ["optimizer.initial_scale=1e30", "optimizer.learning_rate=1e30"])
def test_overflowing_training_exits_with_4(here: Path, method: str, setting: str) -> None:
    result = check(
        f"{TRAIN} --method {method} --set {setting} --set optimizer.clip=0", 4, "step ", setting.split("=")[0]
    )
    last = Path("runs/new/last.pt")
    assert last.exists() == (str(last) in result.stderr)
    if last.exists():
        assert all(bool(w.isfinite().all()) for w in load_checkpoint(last).weights.values())


@pytest.mark.parametrize("setting", ["step_sizes=[1e6]", "step_sizes=[1e30]", "temperature=1e6"])
def test_chain_exploding_in_training_exits_with_4(here: Path, setting: str) -> None:
    euler, from_scratch = "--set sampler.exponential=false", "--set training.language_model=0"
    check(
        f"{TRAIN} {euler} {from_scratch} --set sampler.{setting}",
        4,
        "step 0: the chain explodes",
        "--set sampler.step_sizes",
    )


def test_overflowed_weights_do_not_replace_good_ones(here: Path) -> None:
    # One update per epoch: the parameters overflow in the second, after which there is a save.
    plan = f"{TRAIN} --method lm --epochs 2 --batch-size 1000 --set optimizer.clip=0"
    overflow = (
        "--set 'optimizer.decay={start = 0.0, end = 1e38, begin = 0.4, finish = 0.5}' --learning-rate 1"
    )
    check(f"{plan} {overflow}", 4, "a parameter is not finite", "the last good state is in runs/new/last.pt")
    saved = load_checkpoint(Path("runs/new/last.pt"))
    assert saved.progress.epoch == 1
    assert all(bool(w.isfinite().all()) for w in saved.weights.values())


def spoil(monkeypatch: pytest.MonkeyPatch, value: float | None, validations: set[int]) -> None:
    """Set the figure that selects the best model in these validations, counted from 1; None raises an error."""
    validate, count = validation.validate, [0]

    def spoiled(*given: Any) -> list[Estimate]:
        count[0] += 1
        found = validate(*given)
        if count[0] not in validations:
            return found
        if value is None:
            raise NumericalError("a curvature is not finite; take an earlier checkpoint")
        return [e._replace(value=value) if e.metric == "nll" else e for e in found]

    monkeypatch.setattr(validation, "validate", spoiled)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_non_finite_validation_is_neither_best_nor_counted(
    here: Path, monkeypatch: pytest.MonkeyPatch, value: float | None
) -> None:
    spoil(monkeypatch, value, {1, 3})
    assert run(f"{TRAIN} --method lm --epochs 4 --patience 1 --set optimizer.halve_after=1").exit_code == 0
    position = load_checkpoint(Path("runs/new/last.pt")).trainer["position"]  # type: ignore[index]
    assert (position["epoch"], position["epochs_without_better"], position["halvings"]) == (4, 0, 0)
    assert math.isfinite(position["best"])
    assert load_checkpoint(Path("runs/new/best.pt")).progress.epoch in (2, 4)
    lines = Path("runs/new/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    epochs = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    logged = [record.get("nll") for record in epochs if record["kind"] == "epoch"]
    assert [figure is None for figure in logged] == [True, False, True, False]
    check("plot curves new --show-data -f json", 0)
    check("report new -o page.html --limit 2 --n 1 --map-sentences 3", 0)


def test_no_best_model_without_a_finite_validation(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, math.nan, {1, 2})
    check(f"{TRAIN} --method lm", 4, "no validation of this run was finite", "runs/new/last.pt")
    assert not Path("runs/new/best.pt").exists()


def test_standard_error_of_one_sentence_is_undefined(here: Path) -> None:
    command = "evaluate mine-sri --metrics nll,au,permuted,mi --limit 1 --again -f "
    notes = (
        "the standard error of one sentence is undefined",
        "mi, permuted, au: not measured, as one sentence",
    )
    tsv = check(command + "tsv", 0, *notes, "nan in se").stdout.splitlines()
    assert tsv[1].split("\t")[:3:2] == ["nll", "nan"]
    assert json.loads(check(command + "json", 0, *notes, "null in se").stdout)["se"] is None
    assert "± undefined" in run(command + "markdown").stdout


def test_self_bleu_of_one_sample_is_undefined(here: Path) -> None:
    one = check("sample mine-sri -n 1 --metrics unique,self-bleu", 0, "nan in value").stdout.splitlines()
    assert one[2].split("\t")[:3] == ["self-bleu", "nan", ""]
    shown = run("sample mine-sri -n 1 --metrics unique,self-bleu -f markdown").stdout
    assert "| unique | 1.000 |" in shown
    assert "| self-bleu | undefined |" in shown


def test_infinite_perplexity_is_noted(here: Path) -> None:
    setting = "--set optimizer.initial_scale=1e4 --set optimizer.learning_rate=1e-9"
    note = "ppl is beyond the largest number"
    result = check(f"{TRAIN.replace(' --no-summary', '')} --method lm {setting}", 0, note, "inf in value")
    assert result.stdout.splitlines()[1].split("\t")[:3] == ["ppl", "inf", "nan"]
    assert run("evaluate new --metrics ppl -f markdown").stdout.count("infinite") == 1


def test_bound_on_the_end_of_a_chain() -> None:
    def chain(end: torch.Tensor) -> Chain:
        return Chain(torch.zeros_like(end), torch.zeros(2, *end.shape), end, Dynamics((0.5, 0.25)))

    inside = torch.full((3, 16), FARTHEST)  # with a norm of √d times that
    assert float(reach(inside)) == pytest.approx(FARTHEST)
    assert settled(chain(inside)).end is inside
    assert settled(chain(inside[:0])).end.shape == (0, 16)
    for value in (1.01 * FARTHEST, math.inf, math.nan):
        beyond = inside.clone()
        beyond[1] = value
        with pytest.raises(NumericalError, match=r"after 2 steps of 0.5, 0.25 at temperature 1"):
            settled(chain(beyond))


@pytest.fixture
def poisoned_memory() -> Iterator[None]:
    """Fill uninitialised memory with NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("name", METHODS)
def test_batch_of_padding_has_no_generator_gradient(name: str) -> None:
    sizes = GeneratorConfig(4, 6, 0 if name == "lm" else 3)
    method = METHODS[name](RunConfig(method=name, generator=sizes), 9)
    method.initialise()
    padding = torch.full((3, 2), PAD)
    batch = Batch(torch.arange(2), padding, padding, torch.zeros(2, dtype=torch.int64))
    assert method.gradients(batch, Clock(0, 0, 0, 0.5))["recon"] == 0
    gradients = {name: p.grad for name, p in method.modules.named_parameters() if p.grad is not None}
    assert all(bool(gradient.isfinite().all()) for gradient in gradients.values())
    assert not any(bool(g.any()) for key, g in gradients.items() if key.startswith("generator."))
    conditional = method.conditional(batch)
    assert not conditional.log_likelihood(method.posterior(conditional, 0, 2)).any()


def test_metrics_log_is_always_valid_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    earlier = '{"kind": "epoch", "step": 1, "epoch": 1, "nll": NaN}\n'  # by an earlier version
    path.write_text(earlier, encoding="utf-8")
    MetricsLog(path, 1, 1).add(
        {"kind": "tune", "step": 2, "epoch": 2, "sizes": [0.1, math.inf], "gain": -math.inf}
    )
    lines = path.read_text(encoding="utf-8").splitlines()
    old, new = (json.loads(line, parse_constant=pytest.fail) for line in lines)
    assert (old["nll"], new["sizes"], new["gain"]) == (None, [0.1, None], None)
