"""Random damage to checkpoints and prepared corpora, inside and out: each must be loaded or refused.

Bytes are flipped, cut, moved and repeated. Values are also replaced inside intact archives with correct digests, so
that the code behind the digest check is reached. For the same reason most damaged corpora get correct digests.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from faults.harness import Broken
from faults.harness.hostile_files import saved, sealed
from sritool.data.store import load_corpus
from sritool.errors import SritoolError
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.weights import method_without_memory

_NUMBERS = (0, 1, 2, 127, 128, 255)
_LEAVES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 2**31, 2**53, 2**62, -(2**62), 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "a", "sri", "lm", "\x1b[2J", "a\nb", "\ud800", "x" * 5000, [], {}, (), [1], {"a": 1}, [[[]]], (1, 2),
)  # fmt: skip


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return the bytes after one to four random changes."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place, other = chance.randrange(len(found) + 1), chance.randrange(len(found) + 1)
        length = chance.choice((1, 2, 4, 8, 64, 1000))
        kind = chance.randrange(6)
        if kind == 0 and place < len(found):
            found[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del found[place : place + length]
        elif kind == 2:
            found[place:place] = found[other : other + length]
        elif kind == 3:
            found[place : place + length] = bytes([chance.choice(_NUMBERS)]) * length
        elif kind == 4:
            found[place : place + length] = found[other : other + length]
        else:
            found = found[:place] if chance.random() < 0.3 else found + found[other : other + length]
    return bytes(found)


def replaced(values: Any, chance: random.Random) -> Any:
    """Return nested values after one to three changes: values replaced, removed, or copied from elsewhere."""
    found = copy.deepcopy(values)
    for _ in range(chance.randint(1, 3)):
        places = list(_places(found))
        if not places:
            break
        container, key = chance.choice(places)
        kind = chance.randrange(5)
        if kind == 0:
            del container[key]
        elif kind == 1:
            other, of = chance.choice(places)
            container[key] = copy.deepcopy(other[of])
        elif kind == 2 and isinstance(container[key], torch.Tensor):
            container[key] = _other_tensor(container[key], chance)
        elif kind == 3 and isinstance(container[key], dict | list) and len(container[key]) < 99:
            _add(container[key], chance)
        else:
            container[key] = copy.deepcopy(chance.choice(_LEAVES))
    return found


def _places(values: Any) -> Any:
    """Yield (container, key) of the first 40 items of every dictionary and list."""
    items = list(values.items()) if isinstance(values, dict) else list(enumerate(values))
    for key, value in items[:40]:
        yield values, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _add(container: Any, chance: random.Random) -> None:
    if isinstance(container, dict):
        container[chance.choice(("more", 7, "\x1b", "epoch", "kind"))] = chance.choice(_LEAVES)
    else:
        container.append(chance.choice(_LEAVES))


def _other_tensor(tensor: torch.Tensor, chance: random.Random) -> torch.Tensor:
    kinds: tuple[Callable[[], torch.Tensor], ...] = (
        lambda: tensor.flatten(),
        lambda: tensor[:0].clone(),
        lambda: tensor.unsqueeze(0),
        lambda: torch.full_like(tensor, float("nan")),
        lambda: torch.full_like(tensor, 1e38),
        lambda: tensor.double(),
        lambda: tensor.to(torch.uint8),
        lambda: torch.zeros(3),
    )
    return chance.choice(kinds)() if tensor.ndim else torch.zeros(2)


def checkpoint_of(good: bytes, values: dict[str, Any], chance: random.Random) -> bytes:
    """Return a checkpoint with damaged bytes, with damaged bytes and a correct digest, or with damaged values."""
    kind = chance.randrange(3)
    if kind == 2:
        return saved(replaced(values, chance))
    content = damaged(good if kind else good[: -64 - len("sritool sha256 ")], chance)
    return content if kind or len(content) < 2 else sealed(content)


def check_checkpoint(path: Path, content: bytes) -> None:
    """Load a checkpoint. Raises: any error except a refusal with exit code 3 and one line."""
    path.write_bytes(content)
    _check(lambda: method_without_memory(load_checkpoint(path), path), path)


def damage_corpus(folder: Path, chance: random.Random) -> None:
    """Damage one file of a corpus."""
    info = folder / "corpus.json"
    values = json.loads(info.read_text(encoding="utf-8"))
    if chance.random() < 0.25:
        values = replaced(values, chance)
    info.write_text(json.dumps(values), encoding="utf-8")
    files = [info, folder / "tokenizer.json", *sorted(folder.glob("*/*.arrow")) * 2]
    file = chance.choice(files)
    content = file.read_bytes()
    if file.suffix == ".arrow" and chance.random() < 0.6:  # its description, where most false claims can be
        ends = chance.choice((400, 1200))
        changed = damaged(content[:ends], chance)
        file.write_bytes(
            (changed if chance.random() < 0.3 else changed[:ends].ljust(ends, b"\0")) + content[ends:]
        )
    else:
        file.write_bytes(damaged(content, chance))
    if chance.random() < 0.8:
        seal_corpus(folder)


def seal_corpus(folder: Path) -> None:
    """Give a changed corpus correct digests, as an attacker could, unless its ``corpus.json`` is not JSON."""
    path = folder / "corpus.json"
    with contextlib.suppress(ValueError, RecursionError):
        info = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(info, dict):
            parts = [*folder.glob("*/*.arrow"), *folder.glob("tokenizer.*")]
            info["files"] = {
                str(part.relative_to(folder)): hashlib.sha256(part.read_bytes()).hexdigest() for part in parts
            }
            info.pop("digest", None)
            info["digest"] = hashlib.sha256(json.dumps(info, sort_keys=True).encode("ascii")).hexdigest()
            path.write_text(json.dumps(info), encoding="utf-8")


def check_corpus(good: Path, folder: Path, chance: random.Random) -> None:
    """Copy a corpus, damage the copy and read all of it. Raises: as `check_checkpoint`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good, folder)
    damage_corpus(folder, chance)

    def load() -> None:
        corpus = load_corpus(folder)
        for name in corpus.info.splits:
            split = corpus.split(name)
            for index in range(min(3, len(split))):
                corpus.tokenizer.decode(split.targets(index))

    _check(load, folder)


def _check(load: Callable[[], object], path: Path) -> None:
    try:
        load()
    except SritoolError as error:
        line = str(error)
        if error.exit_code != 3 or "\n" in line or str(path) not in line or len(line) > 600:
            raise Broken(f"exit code {error.exit_code}: {line!r}") from error
