"""Plans: run names, what all methods share, and the commands to run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sritool.analysis.reproduction.fairness import fairness
from sritool.analysis.reproduction.plan import Request, make_plan, widened
from sritool.analysis.reproduction.same_settings import config_hash, differing, is_of_plan
from sritool.analysis.reproduction.tables import TABLES
from sritool.cli.lazy_group import LazyGroup
from sritool.config.presets import PRESETS
from sritool.config.values import flat, plain
from sritool.errors import UsageError
from sritool.methods.registry import METHODS

ALL = tuple(METHODS)


@pytest.mark.parametrize("recipe", ["ours", "regularised", "large"])
@pytest.mark.parametrize("corpus", [*PRESETS, "mine"])
def test_all_methods_share_generator_plan_and_data(recipe: str, corpus: str) -> None:
    plan = make_plan(Request("table1", corpus, ALL, recipe=recipe))
    configs = [flat(plain(run.config)) for run in plan.runs]
    shared = ("generator.", "optimizer.", "validation.", "training.")
    for name in (name for name in configs[0] if name.startswith(shared)):
        if name not in ("generator.latent", "training.language_model"):
            assert len({repr(config[name]) for config in configs}) == 1, name
    assert {
        config["generator.latent"]
        for run, config in zip(plan.runs, configs, strict=True)
        if run.method != "lm"
    } == {32}
    assert len({run.words[1] for run in plan.runs}) == 1
    commands = {run.method: " ".join(run.measures[0].words) for run in plan.runs}
    assert "kl" not in commands["sri"].split()[-1].split(","), "a short chain has no kl"
    assert {commands[name].replace(",kl,", ",") for name in commands} == {commands["sri"]}  # one estimator
    same, *autoencoders, left_out, language_model = fairness(plan)
    assert [note.partition(" trains")[0] for note in autoencoders] == [
        "before these epochs, vae-fbp",
        "before these epochs, vae-fb",
    ]
    assert same.startswith("planned to be the same for all methods")
    assert left_out.startswith("kl is not measured for sri")
    assert "sets training.language_model by method: sri 0." in language_model
    assert "ae 0.0, " in language_model


def test_recipe_differences_between_methods_are_noted() -> None:
    notes = fairness(make_plan(Request("table1", "ptb", ("lm", "sri"), recipe="published")))
    for each in ("training.epochs by method: lm 100, sri 60", "optimizer.name by method: lm sgd, sri adam"):
        assert any(each in note for note in notes), each
    (decay,) = (
        note
        for note in fairness(make_plan(Request("table1", "ptb", recipe="published")))
        if "optimizer.decay" in note
    )
    assert "vae-cyclical 1 to 0" in decay
    assert "sri 1, " in decay


def test_what_an_own_recipe_sets_by_method_is_not_called_the_same(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        "[lm.training]\nsentences = 1000\n[vae-fb.training]\nepochs = 6\n[vae-fb.generator]\nhidden = 96\n"
    )
    same, *notes = fairness(
        make_plan(Request("table1", "tiny", ("lm", "sri", "vae-fb"), (0, 1), str(recipe)))
    )
    assert "(embedding 64, layers 1)" in same
    assert "when training stops (after 5 epochs without a better validation, " in same
    assert "sentences" not in same
    apart = [note.partition(" sets ")[2] for note in notes if " sets " in note]
    assert [note.partition(" by method: ")[0] for note in apart if "language_model" not in note] == [
        "generator.hidden",
        "training.epochs",
        "training.sentences",
    ]


def test_run_names_are_stable_and_unique() -> None:
    names = [run.name for run in make_plan(Request("k-ablation", "mine", seeds=(0, 1), steps=(2,))).runs]
    assert names[:3] == ["mine-sri-ours-s0", "mine-sri-k2-ours-s0", "mine-sri-tau0.2-ours-s0"]
    assert len(names) == len({*names}) == 12
    changed = make_plan(Request("table1", "mine", ("lm",), settings=("training.epochs=2",))).runs[0]
    assert changed.name.startswith("mine-lm-ours-")
    assert changed.name not in names
    assert changed.config.training.epochs == 2


def test_rows_of_a_table_are_not_crossed_with_its_seeds() -> None:
    plan = make_plan(Request("table1", "mine", ("lm",), seeds=(2,), use={"lm": Path("there")}))
    wide = widened(plan, [("sri", "", 0), ("lm", "", 1)])
    assert {run.key for run in wide.runs} == {("lm", "", 2), ("sri", "", 0), ("lm", "", 1)}
    assert wide.request.use == {"mine-lm-ours-s2": Path("there")}


def test_a_run_of_another_seed_is_not_as_planned() -> None:
    planned, other = make_plan(Request("table1", "mine", ("lm",), seeds=(0, 1))).runs
    assert differing(other.config, planned.config) == ["training.seed 1, planned 0"]


def test_settings_are_for_the_methods_that_read_them() -> None:
    given = ("sampler.steps=3", "training.epochs=2")
    lm, sri = make_plan(Request("table1", "mine", ("lm", "sri"), settings=given)).runs
    assert ("sampler.steps=3" in lm.words, "sampler.steps=3" in sri.words) == (False, True)
    assert sri.config.sampler.steps == 3
    assert lm.config.training.epochs == sri.config.training.epochs == 2
    with pytest.raises(UsageError, match="method lm has no use for --langevin-steps"):
        make_plan(Request("table1", "mine", ("lm",), settings=given))


@pytest.mark.parametrize(
    ("setting", "readers"),
    [
        ("generator.latent=8", {"sri", "vae-fb"}),
        ("training.language_model=0.25", {"sri", "vae-fb"}),
        ("training.select=elbo", {"vae-fb"}),
        ("training.tune_step_every=2", {"sri"}),
        ("training={epochs=2, select='last'}", {"lm", "sri", "vae-fb"}),
    ],
)
def test_settings_are_left_out_for_methods_without_use_for_them(setting: str, readers: set[str]) -> None:
    plan = make_plan(Request("table1", "mine", ("lm", "sri", "vae-fb"), settings=(setting,)))
    assert {run.method for run in plan.runs if setting in run.words} == readers
    without = [run.method for run in plan.runs if run.method not in readers]
    note = f"--set {setting} is left out for methods that have no use for it: {', '.join(without)}"
    assert (note in fairness(plan)) == bool(without)


def test_own_recipe_names_runs_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    found = []
    for epochs in (2, 3):
        path.write_text(f"[all.training]\nepochs = {epochs}\n", encoding="utf-8")
        found.append(make_plan(Request("table1", "mine", ("lm",), recipe=str(path))).runs[0].name)
    assert all(name.startswith("mine-lm-own-") for name in found)
    assert len({*found}) == 2


def test_steps_and_temperatures_are_varied_one_at_a_time() -> None:
    request = Request("k-ablation", "mine", steps=(20,), temperatures=(0.5,))
    base, steps, tau = (run.config.sampler for run in make_plan(request).runs)
    assert (steps.steps, steps.temperature) == (20, base.temperature)
    assert (tau.steps, tau.temperature.start, tau.temperature.end) == (base.steps, 0.5, 0.5)
    assert tau.evaluation_temperature == 0.5


def test_irrelevant_settings_do_not_distinguish_runs() -> None:
    first, other = (
        make_plan(Request("table1", "tiny", ("lm",), settings=(text,))).runs[0].config
        for text in ("validation.sentences=9", "training.minutes=1")
    )
    assert differing(first, other, validation=False) == []
    assert differing(first, other) == ["validation.sentences 9, planned 128"], "it chooses the best epoch"
    without_share = replace(first, training=replace(first.training, language_model=0.0))
    assert differing(without_share, first) == [], "a language model does not use it"
    assert config_hash(first) != config_hash(other)
    longer = make_plan(Request("table1", "tiny", ("lm",), settings=("training.epochs=9",))).runs[0].config
    assert differing(longer, other) == ["training.epochs 9, planned 8"]


@pytest.mark.parametrize("own", [False, True])
def test_table_about_z_refuses_a_language_model(own: bool) -> None:
    with pytest.raises(UsageError, match="lm has no z, which table5 is about"):
        make_plan(Request("table5", "tiny", ("lm", "sri"), own=own))
    assert len(make_plan(Request("cost", "tiny", ("lm",))).runs) == 1


def test_sampler_is_identified_by_settings_not_name() -> None:
    planned = make_plan(Request("table1", "tiny", ("sri",))).runs[0].config
    stored = replace(planned, sampler=replace(planned.sampler, name="custom (exponential)"))
    assert differing(stored, planned) == []
    assert config_hash(stored) == config_hash(planned)
    other = replace(planned, sampler=replace(planned.sampler, steps=7))
    assert "sampler.steps 7, planned 6" in differing(other, planned)


@pytest.mark.parametrize("table", TABLES)
def test_parser_accepts_every_command_of_a_plan(table: str) -> None:
    from sritool.cli.app import CommandGroup, with_resume_spelled_out
    from sritool.cli.commands.plot import KindGroup

    plan = make_plan(
        Request(table, "tiny", limit=30, own=True, data_dir=Path("there"), runs_dir=Path("runs2"))
    )
    for run in plan.runs:
        measured = [plan.measure_words(one, "runs2/x") for one in run.measures]
        for words in map(plan.locate, [run.words, *measured]):
            group: type[LazyGroup] = KindGroup if words[0] == "plot" else CommandGroup
            name, *given = words[1:] if words[0] == "plot" else words
            group.build(name).make_context(name, with_resume_spelled_out(given))


def test_methods_are_trained_by_importance() -> None:
    found = [run.method for run in make_plan(Request("table1")).runs]
    assert (found[:3], found[-1]) == (["lm", "vae-fb", "sri"], "sa-vae")
    assert sorted(found) == sorted(TABLES["table1"].methods)
    assert [run.method for run in make_plan(Request("table1", methods=("sri", "lm"))).runs] == ["sri", "lm"]


def test_hash_of_a_run_is_that_of_its_plan_whatever_the_machine() -> None:
    lm, sri = make_plan(Request("table1", "ptb", ("lm", "sri"))).runs
    for run in (lm, sri):
        computed = replace(run.config, training=replace(run.config.training, precision="bfloat16"))
        assert is_of_plan(config_hash(computed), run.config)
        longer = replace(run.config, training=replace(run.config.training, epochs=99))
        assert not is_of_plan(config_hash(longer), run.config)
        shared = replace(run.config, training=replace(run.config.training, language_model=0.5))
        assert is_of_plan(config_hash(shared), run.config) == (run is lm)


def test_hash_of_a_run_trained_without_the_presets_time_limit() -> None:
    for run in make_plan(Request("table1", "tiny", ("lm", "sri"))).runs:
        assert "training.minutes=0" in run.words
        trained = replace(run.config, training=replace(run.config.training, minutes=0.0))
        assert is_of_plan(config_hash(trained), run.config)


def test_fairness_says_which_model_is_kept() -> None:
    by_validation, *_ = fairness(make_plan(Request("table1", "ptb", ("lm", "ae", "sri"))))
    assert "the best epoch by validation nll, ae by recon)" in by_validation
    last, *_ = fairness(make_plan(Request("figure1", "ptb", ("sri",), recipe="published")))
    assert "the model of the last epoch" in last
    assert "validation" not in last
