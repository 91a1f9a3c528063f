"""What a recipe may hold, and how it is resolved for a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sritool.config.presets import PRESETS
from sritool.config.recipes import bundled_recipes
from sritool.config.values import nested, plain, to_toml
from sritool.errors import UsageError
from sritool.methods.registry import METHODS
from sritool.training.configure import gather, resolve_config


def resolved(method: str | None = None, corpus: str = "captions", **given: Any) -> Any:
    return resolve_config(corpus, method, gather(**given))


@pytest.fixture
def recipe(tmp_path: Path) -> Any:
    def write(text: str) -> dict[str, Any]:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return {"flags": {"recipe": str(path)}}

    return write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[vae-fbb.optimizer]\nclip = 1.0", "unknown method 'vae-fbb'; did you mean vae-fb?"),
        ("[presets.ptb.all.optimizer]\nclip = 1.0", "unknown method 'presets'; did you mean preset?"),
        ("[preset.pbt.all.optimizer]\nclip = 1.0", "unknown preset 'pbt'; did you mean ptb?"),
        ("[preset.ptb.training]\nepochs = 1", "unknown method 'training'"),
        ("[vae-fb.optimiser]\nclip = 1.0", "vae-fb: unknown setting optimiser; did you mean optimizer?"),
        ("[preset.ptb.vae-fb.optimizer]\nclip = -1.0", "preset.ptb.vae-fb: setting optimizer.clip is -1.0"),
        ("[lm.kl]\nstart = 0.1", "method lm has no use for kl"),
        ("[lm]\nmethod = 'sri'", "method lm has no use for method"),
        ("[sri.sampler]\nname = 'author'", "unknown sampler 'author'; did you mean authors?"),
        ("lm = 3", "lm is 3"),
        ("preset = 3", "preset is 3"),
        ("description = 3", "description is not text"),
    ],
)
def test_a_mistake_in_a_recipe_is_refused_whatever_the_method(recipe: Any, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolved("vae-anneal", **recipe(text))
    assert words in str(caught.value)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", bundled_recipes())
@pytest.mark.parametrize("method", METHODS)
def test_a_bundled_recipe_builds_and_reads_back_as_itself(name: str, method: str, tmp_path: Path) -> None:
    for preset in PRESETS:
        config = resolved(method, preset, flags={"recipe": name})
        assert config.recipe == name
        file = tmp_path / "config.toml"
        file.write_text(to_toml(plain(config)))
        assert resolved(corpus="mine", file=file) == config


def test_a_configuration_from_ones_own_recipe_needs_it_no_more(recipe: Any, tmp_path: Path) -> None:
    config = resolved("lm", **recipe("[all.training]\nepochs = 7"))
    assert (config.recipe, config.training.epochs) == ("custom (mine)", 7)
    (tmp_path / "mine.toml").unlink()
    file = tmp_path / "config.toml"
    file.write_text(to_toml(plain(config)))
    again = resolved(file=file)
    assert again == config


def test_a_sampler_that_was_asked_for_is_not_the_recipes() -> None:
    given = {"flags": {"recipe": "published", **nested("sampler.name", "tempered")}}
    config = resolved("sri", **given)
    assert (config.sampler.name, config.training.select) == ("tempered", "last")
    assert resolved("sri", flags={"recipe": "published"}).sampler.name == "authors"


def test_the_authors_plan_for_yelp_is_another() -> None:
    config = resolve_config("yelp", "sri", gather(flags={"recipe": "published"}))
    assert (config.sampler.name, config.training.epochs, config.training.select) == ("yelp", 12, "last")


def test_a_resumed_run_keeps_its_recipe() -> None:
    under = resolved("sri", flags={"recipe": "published"})
    same = resolve_config("captions", None, gather(flags={"recipe": "published"}), under)
    assert same == under == resolve_config("captions", None, gather(), under)
    with pytest.raises(UsageError, match="recipe published, not ours"):
        resolve_config("captions", None, gather(flags={"recipe": "ours"}), under)
