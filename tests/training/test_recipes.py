"""What a recipe may contain, and how a run's settings are resolved with it."""

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
def test_recipe_mistakes_are_refused_for_any_method(recipe: Any, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolved("vae-anneal", **recipe(text))
    assert words in str(caught.value)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", bundled_recipes())
@pytest.mark.parametrize("method", METHODS)
def test_bundled_recipe_round_trips(name: str, method: str, tmp_path: Path) -> None:
    for preset in PRESETS:
        config = resolved(method, preset, flags={"recipe": name})
        assert config.recipe == name
        file = tmp_path / "config.toml"
        file.write_text(to_toml(plain(config)))
        assert resolved(corpus="mine", file=file) == config


def test_stored_configuration_no_longer_needs_its_recipe(recipe: Any, tmp_path: Path) -> None:
    config = resolved("lm", **recipe("[all.training]\nepochs = 7"))
    assert (config.recipe, config.training.epochs) == ("custom (mine)", 7)
    (tmp_path / "mine.toml").unlink()
    file = tmp_path / "config.toml"
    file.write_text(to_toml(plain(config)))
    assert resolved(file=file) == config


def test_sampler_option_overrides_the_recipe() -> None:
    given = {"flags": {"recipe": "published", **nested("sampler.name", "tempered")}}
    config = resolved("sri", **given)
    assert (config.sampler.name, config.training.select) == ("tempered", "last")
    assert resolved("sri", flags={"recipe": "published"}).sampler.name == "authors"


def test_published_recipe_has_its_own_plan_for_yelp() -> None:
    config = resolved("sri", "yelp", flags={"recipe": "published"})
    assert (config.sampler.name, config.training.epochs, config.training.select) == ("yelp", 12, "last")


def test_resumed_run_keeps_its_recipe() -> None:
    stored = resolved("sri", flags={"recipe": "published"})
    same = resolve_config("captions", None, gather(flags={"recipe": "published"}), stored)
    assert same == stored == resolve_config("captions", None, gather(), stored)
    with pytest.raises(UsageError, match="recipe published, not ours"):
        resolve_config("captions", None, gather(flags={"recipe": "ours"}), stored)
