"""Resolves the arguments of the command line to a corpus name and its text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sritool.data.corpora.hub_text import SCHEME, HubAddress, hub_source
from sritool.data.corpora.named import NAMED, check_name, named_source
from sritool.data.file_names import SUFFIXES, assign, suffix_of
from sritool.data.preprocess import check_corpus_name
from sritool.data.sources import STDIN, FileOptions, Source, file_source, folder_source, misnamed_notes
from sritool.errors import UsageError


@dataclass(frozen=True)
class Inputs:
    """The arguments of the command line that say what to prepare."""

    names: Sequence[str] = ()  # a built-in corpus, or files, or one folder, or "-"
    splits: Mapping[str, Path | Sequence[Path]] = field(default_factory=dict)  # --train, --valid, --test
    folder: Path | None = None  # of --from
    name: str | None = None  # of --name
    streaming: bool = False  # --streaming


def choose_source(inputs: Inputs, options: FileOptions | None = None) -> tuple[str, Source]:
    """Return the corpus name and the source that the arguments of the command line mean.

    A single built-in name means that corpus, even if a file has the same name; a word that begins with ``hf://``
    means a data set of the Hugging Face hub. Any other word is a file, ``-`` for standard input, or a folder of files
    whose names tell their splits. The options say how to read files and how to cut splits.

    Raises:
        UsageError: The arguments contradict each other, name no text or lack ``--name``.
    """
    options = options or FileOptions()
    words = list(inputs.names)
    of_hub = any(word.startswith(SCHEME) for word in words)
    if inputs.streaming and not of_hub:
        what = (
            f"a sample of {words[0]} is drawn from all of it"
            if words[:1] and words[0] in NAMED
            else "files and standard input are always streamed"
        )
        raise UsageError(f"--streaming is for a data set of the hub, hf://OWNER/NAME: {what}; leave it out")
    if of_hub:
        name, source = _choose_hub(words, inputs, options)
    elif len(words) == 1 and words[0] in NAMED:
        name, source = inputs.name or words[0], _choose_named(words[0], inputs, options)
    else:
        source = _choose_files(words, inputs, options)
        if inputs.name is None:
            raise UsageError("a corpus of your own needs a name; give it one with --name NAME")
        name = inputs.name
    if name in NAMED and words != [name]:
        raise UsageError(f"{name} is a built-in corpus; choose another --name")
    check_corpus_name(name)
    return name, source


def _choose_named(word: str, inputs: Inputs, options: FileOptions) -> Source:
    if inputs.splits:
        raise UsageError(
            f"{word} is a built-in corpus; give its files with --from DIR, or leave {word} out and add --name"
        )
    if options.given:
        raise UsageError(f"{options.given[0]} is for files of your own; leave it out with {word}")
    if (inputs.name or word) == "tiny" and options.seed:
        raise UsageError("tiny is the sample of seed 0; give another seed its own name: --name NAME")
    return named_source(word, inputs.folder, options.seed)


def _choose_hub(words: Sequence[str], inputs: Inputs, options: FileOptions) -> tuple[str, Source]:
    if len(words) > 1 or inputs.folder is not None or inputs.splits:
        raise UsageError(
            f"{SCHEME}… stands alone: its splits are those of the hub; leave out the other files"
        )
    if options.form is not None:
        raise UsageError(f"--input-format is for files of your own; leave it out with {words[0]}")
    address = HubAddress.of(words[0])
    return inputs.name or address.name, hub_source(address, options, inputs.streaming)


def _choose_files(words: Sequence[str], inputs: Inputs, options: FileOptions) -> Source:
    if len(words) == 1 and inputs.folder is None and not inputs.splits and _looks_like_name(words[0]):
        check_name(words[0])
    options_given = [f"--{split}" for split in inputs.splits] + ["--from"] * (inputs.folder is not None)
    if not (words or options_given):
        raise UsageError(
            f"nothing to prepare; give a built-in name ({', '.join(NAMED)}), files, - for stdin, --from DIR, or "
            "--train FILE"
        )
    if words and options_given:
        raise _do_not_combine(words[0], options_given[0], inputs)
    if inputs.splits and inputs.folder is not None:
        raise _do_not_combine("--from", options_given[0], inputs)
    if inputs.folder is not None:
        return folder_source(inputs.folder, options)
    if inputs.splits:
        return file_source(inputs.splits, options)
    paths = [Path(word) for word in words]
    if len(paths) > 1 and STDIN in paths:
        raise UsageError("'-' stands alone; to combine it with files, say which split it is: --train - …")
    if len(paths) == 1 and paths[0].is_dir():
        return folder_source(paths[0], options)
    files = assign(paths)
    return file_source(files, options, misnamed_notes(files))


def _do_not_combine(one: str, other: str, inputs: Inputs) -> UsageError:
    """Return the error that two ways to give text are mixed."""
    is_train = len(inputs.names) == 1 and other in ("--valid", "--test") and not Path(one).is_dir()
    advice = f"write --train {shlex.quote(one)} {other} FILE" if is_train else "leave one out"
    return UsageError(f"{one} and {other} do not go together; {advice}")


def _looks_like_name(word: str) -> bool:
    path = Path(word)
    return word != "-" and not path.exists() and path.name == word and suffix_of(path) not in SUFFIXES
