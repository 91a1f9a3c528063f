"""Which source the arguments of `preprocess` select."""

from __future__ import annotations

from pathlib import Path

import pytest

from sritool.data.choose_source import Inputs, choose_source
from sritool.data.sentences import in_memory
from sritool.errors import DataError, UsageError

TEXT = "the cart waits\nthe mule turns\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def test_built_in_names_come_before_files_and_folders(here: Path) -> None:
    Path("tiny").write_text(TEXT)
    name, source = choose_source(Inputs(["tiny"]))
    assert (name, len(source.read().splits["train"].texts)) == ("tiny", 12_000)
    name, source = choose_source(Inputs(["./tiny"], name="mine"))
    assert (name, source.read().source) == ("mine", "tiny")
    name, _ = choose_source(Inputs(["tiny"], name="second"))
    assert name == "second"


def test_ways_to_give_own_text(here: Path) -> None:
    Path("texts").mkdir()
    for split in ("train", "dev", "test"):
        Path(f"texts/{split}.txt").write_text(f"{split} a\n{split} b\n")
    files = [Path(f"texts/{split}.txt") for split in ("train", "dev", "test")]
    ways = [
        Inputs([str(path) for path in reversed(files)], name="x"),
        Inputs(["texts"], name="x"),
        Inputs(folder=Path("texts"), name="x"),
        Inputs(splits=dict(zip(("train", "valid", "test"), files, strict=True)), name="x"),
    ]
    expected = {"train": ["train a", "train b"], "valid": ["dev a", "dev b"], "test": ["test a", "test b"]}
    for inputs in ways:
        raw = choose_source(inputs)[1].read()
        assert {name: in_memory(part.chunks()).texts for name, part in raw.splits.items()} == expected


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (Inputs(), "give a built-in name"),
        (Inputs(name="x"), "nothing to prepare"),
        (Inputs(["text.txt"]), "--name NAME"),
        (Inputs(["-"]), "--name NAME"),
        (Inputs(["text.txt"], name="ptb"), "choose another --name"),
        (Inputs(["tiny"], name="ptb"), "choose another --name"),
        (Inputs(["tiny"], name="a/b"), "cannot name a corpus"),
        (Inputs(["text.txt"], name="../x"), "cannot name a corpus"),
        (Inputs(["ptbb"]), "did you mean ptb?"),
        (Inputs(["ptbb"], name="x"), "did you mean ptb?"),
        (Inputs(["ptb", "text.txt"], name="x"), "which split ptb is"),
        (Inputs(["text.txt", "-"], name="x"), "'-' stands alone"),
        (Inputs(["text.txt"], folder=Path(), name="x"), "text.txt and --from do not go together"),
        (Inputs(["text.txt"], splits={"test": Path("a")}, name="x"), "write --train text.txt --test FILE"),
        (Inputs(splits={"test": Path("a")}, folder=Path(), name="x"), "--from and --test do not go together"),
        (Inputs(["ptb"], splits={"test": Path("a")}), "--from DIR"),
        (Inputs(splits={"test": Path("a")}, name="x"), "--train FILE"),
    ],
)
def test_invalid_arguments(here: Path, inputs: Inputs, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_source(inputs)[1].read()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(here: Path) -> None:
    with pytest.raises(DataError, match=r"no such file: ptbb\.txt"):
        choose_source(Inputs(["ptbb.txt"], name="x"))[1].read()


def test_file_options_are_refused_for_built_in_names() -> None:
    from sritool.data.sources import FileOptions

    with pytest.raises(UsageError, match=r"--valid-share.*tiny"):
        choose_source(Inputs(["tiny"]), FileOptions(valid_share=0.1))
    with pytest.raises(UsageError, match="another seed its own name"):
        choose_source(Inputs(["tiny"]), FileOptions(seed=3))
