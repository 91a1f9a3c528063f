"""A grammar for the pickle in a checkpoint: its instructions are checked against it before any of them runs."""

from __future__ import annotations

import pickletools
import re
from typing import Any, cast

from sritool.errors import quoted

_LARGEST_PICKLE = 1 << 26  # bytes; a million words take 20 MB
_MOST_CONTAINERS, _MOST_TENSORS = 500_000, 10_000

# One letter for each instruction of a pickle that torch.save writes. The letters of a whole pickle must match the
# grammar below. It ensures that a pickle calls only the function that makes a tensor, with numbers as arguments; that
# no value occurs in two places; and that no tuple holds another.
_LETTERS = {
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1"), "i"),
    **{"BINUNICODE": "s", "BINFLOAT": "f", "NONE": "c", "NEWTRUE": "c", "NEWFALSE": "F", "STOP": "."},
    **{"EMPTY_TUPLE": "e", "TUPLE1": "1", "TUPLE2": "2", "TUPLE3": "3", "TUPLE": "T", "MARK": "m"},
    **{"EMPTY_LIST": "L", "APPEND": "a", "APPENDS": "A", "EMPTY_DICT": "D", "SETITEM": "k", "SETITEMS": "K"},
    **{"BINPERSID": "P", "REDUCE": "R"},
}
_NAMES = {
    "torch FloatStorage": "S",
    "torch ByteStorage": "S",
    "torch._utils _rebuild_tensor_v2": "V",
    "collections OrderedDict": "O",
}
_SHAPE = "(?:e|i1|ii2|iii3|mi{4,8}T)"
_TENSOR = re.compile(f"VmmsSssiTPi{_SHAPE}{_SHAPE}FOeRTR")
_TUPLE = re.compile("e|[sifcF]1|[sifcF]{2}2|[sifcF]{3}3|m[sifcF]*T")
_PLAIN = re.compile(r"[sifcFtumLaADkK]*\.")


class RefusedError(ValueError):
    """The reason to refuse a file, as a phrase without advice."""


def check_instructions(program: bytes) -> None:
    """Check the instructions of a pickle from a torch archive against the grammar, without running any.

    Raises:
        RefusedError: The pickle is damaged, or is not what torch.save writes for plain values and tensors.
    """
    if len(program) > _LARGEST_PICKLE:
        raise RefusedError("it has too many values")
    try:
        letters = _letters_of(program)
    except RefusedError:
        raise
    except ValueError as error:
        raise RefusedError(f"its values are damaged ({quoted(str(error))})") from error
    text, tensors = _TENSOR.subn("t", letters)
    text = _TUPLE.sub("u", text)
    if not _PLAIN.fullmatch(text):
        raise RefusedError("its values are not in the form that torch.save writes, and were not read")
    if tensors > _MOST_TENSORS or sum(map(text.count, "uLDm")) > _MOST_CONTAINERS:
        raise RefusedError("it has too many values")


def _letters_of(program: bytes) -> str:
    """Return a letter for each instruction; for a string or a name from the memo, the letter it had.

    Raises:
        ValueError: The pickle is cut off or damaged.
        RefusedError: An instruction, a name or a number is not one that torch.save writes for plain values.
    """
    letters: list[str] = []
    memo: dict[Any, str] = {}
    letter = ""
    for instruction, argument, _ in pickletools.genops(program):
        name = instruction.name
        if name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = letter
            continue
        if name in ("BINGET", "LONG_BINGET"):
            letter = memo.get(argument, "")
            known = letter in ("s", *_NAMES.values())
        elif name == "GLOBAL":
            letter = _NAMES.get(str(argument), "")
            known = bool(letter)
        elif name == "PROTO":
            known = argument == 2
        else:
            letter = _LETTERS.get(name, "")
            known = bool(letter) and (name != "LONG1" or -(1 << 63) <= cast(int, argument) < 1 << 63)
        if not known:
            shown = name if argument is None else f"{name} {quoted(argument)}"
            raise RefusedError(f"it holds more than tensors and plain values ({shown}) and was not run")
        letters.append(letter)
    return "".join(letters)
