"""Precedence of settings, names of changed samplers, and what a resumed run may change."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from sritool.config.presets import PRESETS
from sritool.config.samplers import DEFAULT_SAMPLER, SAMPLERS, with_accurate_sampler_name
from sritool.config.settings import RunConfig
from sritool.config.values import merge, nested, plain, to_toml
from sritool.errors import UsageError
from sritool.methods.registry import METHODS
from sritool.training.configure import gather, resolve_config

RATE = "optimizer.learning_rate"


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def resolved(corpus: str = "captions", method: str | None = None, **given: Any) -> RunConfig:
    return resolve_config(corpus, method, gather(**given))


def test_precedence_flags_set_environment_file_preset(tmp_path: Path) -> None:
    layers: dict[str, Any] = {
        "file": toml(tmp_path, "[optimizer]\nlearning_rate = 0.1\n"),
        "environment": nested(RATE, 0.2),
        "assignments": (f"{RATE}=0.3",),
        "flags": nested(RATE, 0.4),
    }
    assert resolved().optimizer.learning_rate == 4e-3
    given: dict[str, Any] = {}
    for (name, value), expected in zip(layers.items(), (0.1, 0.2, 0.3, 0.4), strict=True):
        given[name] = value
        assert resolved(**given).optimizer.learning_rate == expected, f"{name} has no effect"


def test_layers_are_merged(tmp_path: Path) -> None:
    config = resolved(
        file=toml(tmp_path, "[training]\nepochs = 3\nseed = 5\n[generator]\nhidden = 99\n"),
        assignments=("training.epochs=4", "sampler.steps=7"),
        flags={"training": {"batch_size": 2}},
    )
    training = config.training
    assert (training.epochs, training.seed, training.batch_size) == (4, 5, 2)
    assert (config.generator.hidden, config.generator.embedding, config.sampler.steps) == (99, 128, 7)


def test_later_assignment_wins() -> None:
    assert resolved(assignments=("training.seed=1", "training.seed=2")).training.seed == 2


def test_one_end_of_a_schedule_can_be_set() -> None:
    config = resolved(assignments=("sampler.temperature.end=0.9",))
    published = SAMPLERS[DEFAULT_SAMPLER]["sampler"]["temperature"]
    assert config.sampler.temperature.end == 0.9
    assert config.sampler.temperature.start == published["start"]


@pytest.mark.parametrize("preset", PRESETS)
def test_corpus_selects_the_preset_of_its_name(preset: str) -> None:
    wanted = PRESETS[preset]["generator"]
    generator = resolved(preset, flags={"recipe": "published"}).generator
    assert (generator.embedding, generator.hidden) == (wanted["embedding"], wanted["hidden"])


def test_other_corpora_use_the_captions_preset_by_default(tmp_path: Path) -> None:
    assert resolved("mine") == resolved("captions")
    assert resolved("mine", flags={"preset": "ptb"}).generator.embedding == 256
    assert resolved("mine", file=toml(tmp_path, 'preset = "ptb"\n')).generator.embedding == 256
    assert resolved("tiny", flags={"preset": "ptb"}).generator.embedding == 256


def test_named_sampler_has_the_published_settings() -> None:
    for name in SAMPLERS:
        config = resolved(flags=nested("sampler.name", name))
        assert config.sampler.name == name
        values = merge(plain(RunConfig()), SAMPLERS[name])
        assert plain(config)["sampler"] == values["sampler"]


def test_methods_and_samplers_share_one_plan() -> None:
    configs = [resolved("ptb", method) for method in METHODS]
    configs += [resolved("ptb", flags=nested("sampler.name", name)) for name in SAMPLERS]
    first = configs[0]
    for config in configs:
        # Exceptions: only `paper` searches for step sizes; only the autoencoder has codes from the first epoch on.
        early = (first if config.method == "ae" else config).training.language_model
        training = dataclasses.replace(
            config.training, tune_step_every=0, tune_objective="entropy", language_model=early
        )
        assert (config.optimizer, training, config.validation) == (
            first.optimizer,
            first.training,
            first.validation,
        )
    decay = first.optimizer.decay
    for progress, factor in ((0.0, 1.0), (0.5, 1.0), (0.75, 2 / 3), (1.0, 1 / 3)):
        assert decay.at(progress) == pytest.approx(factor)


@pytest.mark.parametrize(
    "text", ["sampler.steps=19", "sampler.temperature.end=0.3", "sampler.theta_gradient=path"]
)
def test_changed_sampler_is_called_custom(text: str) -> None:
    assert resolved(assignments=(text,)).sampler.name == f"custom ({DEFAULT_SAMPLER})"


def test_restored_sampler_gets_its_name_back(tmp_path: Path) -> None:
    changed = resolved(assignments=("sampler.name=authors", "sampler.steps=19"))
    file = toml(tmp_path, to_toml(plain(changed)))
    assert resolved(file=file).sampler == changed.sampler
    assert resolved(file=file, assignments=("sampler.steps=20",)).sampler.name == "authors"


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("method", ["sri", "lm"])
def test_stored_configuration_round_trips(sampler: str, method: str, tmp_path: Path) -> None:
    given = {"flags": nested("sampler.name", sampler)} if method == "sri" else {}
    config = resolved("ptb", method, **given)
    assert resolved("mine", file=toml(tmp_path, to_toml(plain(config)))) == config


def test_method_on_the_command_line_wins(tmp_path: Path) -> None:
    file = toml(tmp_path, 'method = "lm"\n')
    assert resolved(file=file).method == "lm"
    assert resolved(file=file).generator.latent == 0
    config = resolved(method="sri", file=file)
    assert (config.method, config.generator.latent) == ("sri", 32)


def test_one_file_serves_both_methods(tmp_path: Path) -> None:
    file = toml(tmp_path, "[generator]\nlatent = 16\n[sampler]\nsteps = 5\n")
    assert resolved(file=file).generator.latent == 16
    assert resolved(method="lm", file=file).generator.latent == 0


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("sry", {}, "unknown method 'sry'; did you mean sri?"),
        (None, {"flags": {"preset": "yelb"}}, "unknown preset 'yelb'; did you mean yelp?"),
        (
            None,
            {"flags": nested("sampler.name", "author")},
            "unknown sampler 'author'; did you mean authors?",
        ),
        (None, {"assignments": ("sampler.stepz=3",)}, "did you mean sampler.steps?"),
        (None, {"assignments": ("sampler=3",)}, "setting sampler is 3"),
        ("lm", {"flags": nested("generator.latent", 8)}, "method lm has no z"),
        (
            "lm",
            {"flags": nested("sampler.steps", 8)},
            "method lm has no use for --langevin-steps (sampler.steps), a setting of sri; leave it out",
        ),
        ("sri", {"flags": nested("generator.latent", 0)}, "method sri infers z"),
        *(
            (name, {"assignments": ("training.select=elbo",)}, f"method {name} has no ELBO to choose by")
            for name in ("sri", "lm", "ae")
        ),
    ],
)
def test_impossible_settings_are_refused(method: str | None, given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolved(method=method, **given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def resumed(config: RunConfig, method: str | None = None, **given: Any) -> RunConfig:
    return resolve_config("captions", method, gather(**given), config)


def test_resumed_run_keeps_settings_that_are_not_given() -> None:
    stored = resolved(
        "ptb", assignments=("training.epochs=3", "sampler.steps=9", "training.precision=float32")
    )
    assert resumed(stored) == stored
    assert resumed(stored, method="sri") == stored
    longer = resumed(stored, flags=nested("training.epochs", 8))
    assert longer.training.epochs == 8
    assert plain(longer)["sampler"] == plain(stored)["sampler"]


@pytest.mark.parametrize("before", SAMPLERS)
@pytest.mark.parametrize("after", SAMPLERS)
def test_resumed_run_can_switch_sampler(before: str, after: str) -> None:
    stored = resolved("snli", flags=nested("sampler.name", before))
    found = resumed(stored, flags=nested("sampler.name", after))
    assert found.sampler == resolved("snli", flags=nested("sampler.name", after)).sampler
    assert found.sampler.name == after
    assert found.generator == stored.generator


def test_resumed_run_keeps_the_precision_it_chose() -> None:
    stored = resolved(flags=nested("training.precision", "bfloat16"))
    assert resumed(stored, flags=nested("training.precision", "auto")).training.precision == "bfloat16"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("generator.hidden", 7), ("generator.latent", 7), ("generator.embedding", 7)),
        ("generator.tied_embeddings", False),
        *(("optimizer.name", "sgd"), ("training.batch_size", 7), ("training.seed", 7)),
        *(("training.select", "last"), ("pretraining.keep", "best")),
    ],
)
def test_resumed_run_cannot_change_fixed_settings(path: str, value: Any) -> None:
    with pytest.raises(UsageError, match="start a new run without --resume") as caught:
        resumed(resolved(method="vae-fb"), flags=nested(path, value))
    assert path in str(caught.value)


def test_resumed_run_keeps_its_method() -> None:
    with pytest.raises(UsageError, match="method"):
        resumed(resolved(), method="lm")
    assert resumed(resolved(method="lm")).method == "lm"


def test_tuned_sampler_keeps_its_name_and_step_sizes() -> None:
    tuned = resolved("captions", assignments=("sampler.name='paper'", "sampler.step_sizes=[0.03]"))
    assert tuned.sampler.name == "paper"
    again = resumed(tuned, flags=nested("sampler.name", "paper"))
    assert again.sampler == tuned.sampler, "resuming with the same options loses the step sizes found"
    tempered = resumed(tuned, flags=nested("sampler.name", "tempered"))
    assert tempered.training.tune_step_every == 0, "the search belongs to the sampler paper"
    colder = resolved("captions", assignments=("sampler.name='paper'", "sampler.temperature=0.3"))
    assert colder.sampler.name == "custom (paper)"


@pytest.mark.parametrize(
    "given",
    [
        {"flags": {"sampler": {"name": "paper", "steps": 9}}},
        {"flags": {"sampler": {"name": "tempered"}, "training": {"tune_step_every": 2}}},
        {"flags": {"sampler": {"name": "paper"}}, "assignments": ["sampler.step_sizes=[0.05]"]},
    ],
)
def test_same_options_keep_the_step_sizes_that_were_found(given: dict[str, Any]) -> None:
    begun = resolved("captions", **given)
    found = dataclasses.replace(begun, sampler=dataclasses.replace(begun.sampler, step_sizes=(0.07,)))
    stored = with_accurate_sampler_name(found)
    assert resumed(stored, **given) == stored
    other = {**given["flags"], "sampler": {"name": "yelp", "step_sizes": [0.02]}}
    assert resumed(stored, flags=other).sampler.step_sizes == (0.02,), (
        "another sampler keeps the old step sizes"
    )


@pytest.mark.parametrize("recipe", ["ours", "published"])
@pytest.mark.parametrize("preset", PRESETS)
def test_same_preset_leaves_a_resumed_run_unchanged(preset: str, recipe: str) -> None:
    for method in METHODS:
        given = {"preset": preset, "recipe": recipe, "method": method}
        stored = resolved("mine", flags=given)
        assert resumed(stored, flags=given) == stored
        assert resumed(stored, flags={"preset": preset}) == stored


def test_tuning_objective_needs_a_search() -> None:
    with pytest.raises(UsageError, match="give --tune-step-every too"):
        resolved(flags=nested("training.tune_objective", "given-noise"))
    with pytest.raises(UsageError, match=r"leave --tune-objective \(training.tune_objective\) out"):
        resolved(method="lm", flags=nested("training.tune_objective", "given-noise"))


@pytest.mark.parametrize(
    ("method", "key", "value", "needed"),
    [
        ("vae-fb", "optimizer.halvings", 3, r"optimizer\.halve_after"),
        ("lm", "optimizer.return_to_best", True, r"optimizer\.halve_after"),
        ("sri", "generator.code_bias", True, r"leave generator\.code_bias out"),
        ("lm", "training.measure_every", 5, r"leave training\.measure_every out"),
    ],
)
def test_settings_without_effect_are_refused(method: str, key: str, value: object, needed: str) -> None:
    with pytest.raises(UsageError, match=needed):
        resolved(method=method, flags=nested(key, value))


def test_halvings_with_halving_are_accepted() -> None:
    given = merge(nested("optimizer.halve_after", 2), nested("optimizer.halvings", 3))
    assert resolved(method="lm", flags=given).optimizer.halvings == 3


def test_a_run_begins_from_one_checkpoint() -> None:
    given = merge(nested("pretraining.encoder", "ae.pt"), nested("warm_start.checkpoint", "lm.pt"))
    with pytest.raises(UsageError, match="leave one out"):
        resolved(method="vae-fb", flags=given)
