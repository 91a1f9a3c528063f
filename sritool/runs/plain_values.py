"""Plain values and tensors from the pickle that `torch.save` writes, without ever running a pickle.

A pickle is a program for a small machine. This is a machine that knows only the instructions that our own files use:
they make numbers, strings, lists, tuples, dictionaries and tensors, and none of them calls anything. Every other
instruction, and every name but those of a tensor, ends the reading. Values form a tree: what could make a small file
large in memory or in a message (shared containers, deep nesting, tensors larger than their numbers) is refused too.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from sritool.runs.archive import Archive, Refused

_LARGEST = 1 << 28  # bytes of pickle; a million words take 20 MB
_MOST_CONTAINERS = 500_000
_DEEPEST = 24
_MOST_DIMENSIONS = 8
_TENSOR, _ORDERED = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"
_STORAGES = {"torch FloatStorage": "f4", "torch ByteStorage": "u1"}
_LITERALS = frozenset({"BINUNICODE", "BININT", "BININT1", "BININT2", "BINFLOAT"})
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PAIRS = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CODE = "it holds more than tensors and plain values ({}) and was not run"


@dataclass(frozen=True)
class _Name:
    """A name that the pickle mentions; it is compared, and never looked up."""

    text: str


def read_values(archive: Archive) -> Any:
    """The values of a checkpoint's archive, with tensors of its numbers.

    Raises: Refused if there is anything else in it, or less than it says.
    """
    if "data.pkl" not in archive.entries or archive.entries["data.pkl"].size > _LARGEST:
        raise Refused("it has no values, or too many")
    order = bytes(archive.read("byteorder")) if "byteorder" in archive.entries else b"little"
    if order not in (b"little", b"big"):
        raise Refused("its order of bytes is unknown")
    machine = _Machine(archive, "<" if order == b"little" else ">")
    try:
        values = machine.run(bytes(archive.read("data.pkl")))
    except Refused:
        raise
    except Exception as error:  # a damaged program can go wrong anywhere, and harms nothing
        raise Refused("its values are damaged") from error
    _check_tree(values)
    if archive.unused():
        raise Refused("it has numbers that belong to no tensor")
    return values


class _Machine:
    def __init__(self, archive: Archive, order: str) -> None:
        self._archive, self._order = archive, order
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._containers = 0
        self._storages: dict[str, Tensor] = {}
        self._doing: dict[str, Callable[[], None]] = {
            "APPEND": lambda: self._append(self._pop(1)),
            "APPENDS": lambda: self._append(self._since_mark()),
            "SETITEM": lambda: self._set_items(self._pop(2)),
            "SETITEMS": lambda: self._set_items(self._since_mark()),
            "TUPLE": lambda: self._new(tuple(self._since_mark())),
            "EMPTY_TUPLE": lambda: self._stack.append(()),
            "EMPTY_LIST": lambda: self._new([]),
            "EMPTY_DICT": lambda: self._new({}),
            "MARK": lambda: self._marks.append(len(self._stack)),
            "BINPERSID": lambda: self._stack.append(self._storage(*self._pop(1))),
            "REDUCE": lambda: self._stack.append(self._made(*self._pop(2))),
        }

    def run(self, program: bytes) -> Any:
        stack, memo = self._stack, self._memo
        steps: Iterator[tuple[Any, Any, Any]] = pickletools.genops(program)
        for instruction, argument, place in steps:
            name = instruction.name
            if name in _LITERALS:
                stack.append(argument)
            elif name in ("LONG_BINPUT", "BINPUT"):
                memo[argument] = stack[-1]
            elif name in ("LONG_BINGET", "BINGET"):
                stack.append(_shareable(memo[argument]))
            elif name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            elif name in _PAIRS:
                self._new(tuple(self._pop(_PAIRS[name])))
            elif name in self._doing:
                self._doing[name]()
            elif name == "GLOBAL":
                stack.append(_known(argument))
            elif name == "LONG1" and -(1 << 63) <= argument < 1 << 63:
                stack.append(argument)
            elif name == "STOP" and len(stack) == 1 and place + 1 == len(program):
                return stack.pop()
            elif name != "PROTO" or argument != 2:
                raise Refused(_CODE.format(f"instruction {name}"))
        raise Refused("its values are damaged")

    def _new(self, container: Any) -> None:
        self._containers += 1
        if self._containers > _MOST_CONTAINERS:
            raise Refused("it has too many values")
        self._stack.append(container)

    def _pop(self, count: int) -> list[Any]:
        """The last values, not reaching below the last mark."""
        floor = self._marks[-1] if self._marks else 0
        if len(self._stack) - count < floor:
            raise Refused("its values are damaged")
        found = self._stack[-count:]
        del self._stack[-count:]
        return found

    def _since_mark(self) -> list[Any]:
        found = self._stack[self._marks[-1] :]
        del self._stack[self._marks.pop() :]
        return found

    def _append(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise Refused("its values are damaged")
        self._stack[-1].extend(items)

    def _set_items(self, items: list[Any]) -> None:
        keys = items[::2]
        if type(self._stack[-1]) is not dict or len(items) % 2 or {type(key) for key in keys} - {str, int}:
            raise Refused("its values are damaged")
        self._stack[-1].update(zip(keys, items[1::2], strict=True))

    def _storage(self, told: Any) -> Tensor:
        """The numbers in an entry [n]; the entry must have exactly as many as the pickle says."""
        kind, of, key, _, count = told
        if kind != "storage" or not isinstance(of, _Name) or of.text not in _STORAGES or type(key) is not str:
            raise Refused(_CODE.format("a reference"))
        if key not in self._storages:
            import numpy as np

            dtype = np.dtype(self._order + _STORAGES[of.text])
            entry = self._archive.entries.get(f"data/{key}")
            if entry is None or type(count) is not int or count * dtype.itemsize != entry.size:
                raise Refused("a tensor claims other numbers than the file has")
            numbers = np.frombuffer(self._archive.read(f"data/{key}"), dtype)
            native = numbers.astype(dtype.newbyteorder("="), copy=False)
            self._storages[key] = torch.from_numpy(native)
        return self._storages[key]

    def _made(self, name: Any, arguments: Any) -> Any:
        if name == _Name(_ORDERED) and arguments == ():
            return {}
        if name != _Name(_TENSOR):
            raise Refused(_CODE.format("a call"))
        storage, offset, size, stride, gradient, hooks = arguments
        if (
            not isinstance(storage, Tensor)
            or storage.ndim != 1
            or hooks != {}
            or gradient not in (False, True)
        ):
            raise Refused("a tensor is damaged")
        count = _count(size, stride)
        if type(offset) is not int or offset < 0 or offset + count > len(storage):
            raise Refused("a tensor claims other numbers than the file has")
        return storage[offset : offset + count].view(size)


def _count(size: Any, stride: Any) -> int:
    """Numbers of a tensor, of which each has its own place, in order."""
    if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride):
        raise Refused("a tensor is damaged")
    if len(size) > _MOST_DIMENSIONS or any(type(n) is not int or not 0 <= n < 1 << 48 for n in size):
        raise Refused("a tensor has an absurd shape")
    count = prod(size)
    for place, (n, step) in enumerate(zip(size, stride, strict=True)):
        if count and n > 1 and step != prod(size[place + 1 :]):
            raise Refused("a tensor's numbers overlap or are out of order")
    return count


def _known(name: str) -> _Name:
    if name in (_TENSOR, _ORDERED) or name in _STORAGES:
        return _Name(name)
    module, _, kind = name.partition(" ")
    if module == "torch" and kind.endswith("Storage") and kind.isidentifier():
        raise Refused(f"it has tensors of another type than float32 (torch.{kind})")
    raise Refused(_CODE.format(f"the name {name.replace(' ', '.')[:80]}"))


def _shareable(value: Any) -> Any:
    """A value that may stand in two places: one that holds no others, or a few plain ones."""
    if isinstance(value, dict | list) or (
        isinstance(value, tuple)
        and (len(value) > _MOST_DIMENSIONS or any(isinstance(item, dict | list | tuple) for item in value))
    ):
        raise Refused("it has one list in two places")
    return value


def _check_tree(values: Any) -> None:
    if isinstance(values, _Name):
        raise Refused(_CODE.format("a name"))
    level, depth = [values], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise Refused("its values are nested too deep")
        inside = [
            item
            for value in level
            if isinstance(value, dict | list | tuple)
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, dict | list | tuple | _Name)
        ]
        if any(isinstance(item, _Name) for item in inside):
            raise Refused(_CODE.format("a name"))
        level = inside
