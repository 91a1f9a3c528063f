"""Checkpoints: round trips, and refusal of everything that is not one."""

from __future__ import annotations

import hashlib
import io
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sritool.config.schedules import Ramp
from sritool.config.settings import GeneratorConfig, RunConfig, SamplerConfig
from sritool.data.tokenizer import SPECIALS, Tokenizer, WordTokenizer
from sritool.data.vocabulary import train_pieces
from sritool.errors import CheckpointError
from sritool.model.generator import Generator
from sritool.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sritool.runs.checkpoint_checks import TrainedOn, TrainingProgress
from sritool.runs.pickle_grammar import RefusedError
from sritool.runs.untrusted_file import DIGEST_MARK, load_values, save_values
from sritool.runs.weights import load_weights
from support.tables import same

WORDS = WordTokenizer([*SPECIALS, "a", "kite", "naïve", "日本"])
CONFIG = RunConfig(
    generator=GeneratorConfig(4, 5, 2, 0.25),
    sampler=SamplerConfig(name="mine", step_sizes=(0.3, 0.1), temperature=Ramp(0.1, 0.7, 0.2, 0.9, 0.05)),
)


def sample_checkpoint(tokenizer: Tokenizer = WORDS) -> Checkpoint:
    generator = Generator(CONFIG.generator, len(tokenizer))
    generator.initialise(0.3, 1)
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.01)
    generator.log_likelihood(
        torch.ones(1, 1).long(), torch.full((1, 1), 4), torch.ones(1, 2)
    ).sum().backward()
    optimizer.step()
    return Checkpoint(
        config=CONFIG,
        tokenizer=tokenizer,
        weights=generator.state_dict(),
        corpus=TrainedOn("mine", "data/mine", "ab12", max_length=9, lowercase=True, split_punctuation=False),
        progress=TrainingProgress(epoch=3, step=77, seconds=1.25),
        metrics=[{"epoch": 1, "step": 7, "nll": 12.5, "validation_seconds": 0.5}],
        trainer={"optimizer": optimizer.state_dict(), "position": {"epoch": 3, "best_nll": float("inf")}},
    )


@pytest.mark.parametrize("kind", ["word", "unigram", "bpe"])
def test_round_trip(kind: str, tmp_path: Path) -> None:
    lines = ["a kite", "kites fly", "a naïve kite flies", "日本 fly"] * 10
    tokenizer = WORDS if kind == "word" else train_pieces(lines, kind, 30)
    saved = sample_checkpoint(tokenizer)
    save_checkpoint(saved, tmp_path / "m.pt")
    loaded = load_checkpoint(tmp_path / "m.pt")
    assert loaded.config == saved.config
    assert loaded.tokenizer.state() == tokenizer.state()
    assert loaded.tokenizer.encode("a naïve kite") == tokenizer.encode("a naïve kite")
    for part in ("weights", "corpus", "progress", "metrics", "trainer"):
        assert same(dict(vars(loaded))[part], dict(vars(saved))[part]), part
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]


def test_checkpoint_without_trainer_state(tmp_path: Path) -> None:
    save_checkpoint(replace(sample_checkpoint(), trainer=None), tmp_path / "m.pt")
    assert load_checkpoint(tmp_path / "m.pt").trainer is None


class _Shrinking(io.BytesIO):
    """A file that loses its end once its length has been asked for."""

    def __init__(self, content: bytes, left: int) -> None:
        super().__init__(content)
        self._left = left

    def seek(self, offset: int, whence: int = 0) -> int:
        place = super().seek(offset, whence)
        if whence == 0:
            self.truncate(self._left)
        return place


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert ";" in message, "no hint of what to do next"
    assert caught.value.exit_code == 3
    return message


def test_missing_file(tmp_path: Path) -> None:
    assert "no checkpoint" in refused(tmp_path / "none.pt")
    assert "no checkpoint" in refused(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95, 0.999])
def test_truncated_file(share: float, tmp_path: Path) -> None:
    save_checkpoint(sample_checkpoint(), tmp_path / "m.pt")
    whole = (tmp_path / "m.pt").read_bytes()
    (tmp_path / "m.pt").write_bytes(whole[: int(share * len(whole))])
    assert "truncated, or another kind of file" in refused(tmp_path / "m.pt")


class _Trap:
    """Unpickling this creates a file, if the loader runs its code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("where", ["pickle", "torch", "inside a checkpoint"])
def test_code_in_a_file_is_not_run(where: str, tmp_path: Path) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "m.pt"
    if where == "pickle":
        path.write_bytes(pickle.dumps(_Trap(sprung)))
    elif where == "torch":
        torch.save(_Trap(sprung), path)
    else:
        save_checkpoint(sample_checkpoint(), path)
        values = torch.load(path, weights_only=True)
        values["progress"]["note"] = _Trap(sprung)
        archive = io.BytesIO()
        torch.save(values, archive)
        body = archive.getvalue() + DIGEST_MARK
        path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())
    message = refused(path)
    assert not sprung.exists()
    if where == "inside a checkpoint":
        assert "was not run" in message
    # The trap works: pickle's own loader springs it.
    pickle.loads(pickle.dumps(_Trap(sprung)))
    assert sprung.exists()


def altered(path: Path, **changes: Any) -> Path:
    save_checkpoint(sample_checkpoint(), path)
    return store({**torch.load(path, weights_only=True), **changes}, path)


def store(values: Any, path: Path) -> Path:
    """Write values to a file with a valid digest."""
    with path.open("wb") as file:
        save_values(values, file)
    return path


@pytest.mark.parametrize("version", [99, None, True, 1.0, "1", [1], torch.zeros(2)], ids=str)
def test_other_versions_are_refused(version: Any, tmp_path: Path) -> None:
    assert "has checkpoint version" in refused(altered(tmp_path / "m.pt", version=version))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "something else"},
        {"config": {"method": "sri", "generators": {}}},
        {"config": {"training": {"epochs": "many"}}},
        {"config": None},
        {"tokenizer": {"kind": "word", "words": ["a"]}},
        {"tokenizer": {"kind": "bpe", "model": torch.zeros(9, dtype=torch.uint8)}},
        {"tokenizer": None},
    ],
    ids=["format", "unknown setting", "wrong type", "no config", "no specials", "no model", "no tokenizer"],
)
def test_invalid_content_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    refused(altered(tmp_path / "m.pt", **changes))


@pytest.mark.parametrize(
    "missing", ["config", "tokenizer", "weights", "corpus", "progress", "metrics", "trainer"]
)
def test_every_part_is_required(missing: str, tmp_path: Path) -> None:
    save_checkpoint(sample_checkpoint(), tmp_path / "m.pt")
    values = torch.load(tmp_path / "m.pt", weights_only=True)
    del values[missing]
    store(values, tmp_path / "m.pt")
    assert missing in refused(tmp_path / "m.pt")


def test_bare_tensor_is_no_checkpoint(tmp_path: Path) -> None:
    store(torch.zeros(3), tmp_path / "m.pt")
    assert "not a sritool checkpoint" in refused(tmp_path / "m.pt")


@pytest.mark.parametrize("harm", ["shape", "missing", "extra"])
def test_mismatched_weights(harm: str) -> None:
    weights: Any = dict(sample_checkpoint().weights)
    if harm == "shape":
        weights["output"] = weights["output"][:, :-1]
    elif harm == "missing":
        del weights["output"]
    else:
        weights["encoder"] = torch.zeros(2)
    with pytest.raises(CheckpointError, match="do not fit its settings") as caught:
        load_weights(Generator(CONFIG.generator, len(WORDS)), weights, "m.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("harm", ["shape", "name", "nan", "type", "updates", "more", "kind"])
def test_mismatched_average_is_refused(harm: str, tmp_path: Path) -> None:
    checkpoint = sample_checkpoint()
    weights = {name: tensor.clone() for name, tensor in checkpoint.weights.items()}
    average: Any = {"updates": 3, "weights": weights}
    trainer = {**(checkpoint.trainer or {}), "average": average}
    save_checkpoint(replace(checkpoint, trainer=trainer), tmp_path / "m.pt")
    assert same(load_checkpoint(tmp_path / "m.pt").trainer, trainer)
    harms: dict[str, Any] = {
        "shape": {"weights": {**weights, "output": weights["output"][:-1]}},
        "name": {"weights": {**weights, "encoder": torch.zeros(2)}},
        "nan": {"weights": {**weights, "output": torch.full_like(weights["output"], float("nan"))}},
        "type": {"weights": {**weights, "output": weights["output"].to(torch.uint8)}},
        "updates": {"updates": -1},
        "more": {"decay": 0.9},
    }
    harmed = [1] if harm == "kind" else average | harms[harm]
    refused(altered(tmp_path / "m.pt", trainer=trainer | {"average": harmed}))


@pytest.mark.parametrize("left", [0, 10, -80, -40, -1])
def test_file_shrinking_while_read(left: int, tmp_path: Path) -> None:
    """Like a file still being copied: it reports a size, then has fewer bytes."""
    save_checkpoint(sample_checkpoint(), tmp_path / "model.pt")
    content = (tmp_path / "model.pt").read_bytes()
    with pytest.raises(RefusedError):
        load_values(_Shrinking(content, left % len(content) if left else 0))


@pytest.mark.parametrize("error", [AttributeError("x"), NameError("x"), ImportError("x"), MemoryError()])
@pytest.mark.parametrize("function", ["torch.load", "zipfile.ZipFile.infolist"])
def test_program_errors_are_not_reported_as_damage(
    error: Exception, function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    save_checkpoint(sample_checkpoint(), tmp_path / "model.pt")
    monkeypatch.setattr(function, fail)
    with pytest.raises(type(error)):
        load_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "value",
    [torch.zeros(2, dtype=torch.int64), ((1, 2), 3), {1, 2}, {None: 1}, b"octets", Path("a")],
    ids=str,
)
def test_unreadable_values_are_not_written(value: Any) -> None:
    with pytest.raises(TypeError, match="a checkpoint holds"):
        save_values({"a": [value]}, io.BytesIO())
