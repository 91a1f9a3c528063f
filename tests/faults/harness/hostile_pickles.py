"""Pickles that run code or take memory by every route that the pickle machine offers.

Each program below with `runs` makes the folder `canary` when Python's own unpickler reads it; a test checks this, so
that no trap is harmless by mistake.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

EXTENSION = 240  # the code that a test registers for os.mkdir


class Program(NamedTuple):
    """A pickle with its name; `runs` if Python's own unpickler makes the folder."""

    name: str
    content: bytes
    runs: bool = True


class Ran:
    """Makes a folder when it is unpickled."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.canary,)


def text(value: str) -> bytes:
    """The instruction that pushes a string."""
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def named(module: str, name: str) -> bytes:
    """The instruction that looks a name up."""
    return f"c{module}\n{name}\n".encode()


def value(plain: Any) -> bytes:
    """The instructions that push plain values."""
    return pickle.dumps(plain, 2)[2:-1]


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """The instructions that call a function with arguments given as instructions."""
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


def programs(canary: str) -> Iterator[Program]:
    """Yield all programs."""
    path, mkdir, end = text(canary), named("os", "mkdir"), b"."
    mapped = b"(" + mkdir + b"](" + path + b"et"  # the arguments (os.mkdir, [path]) of map
    for protocol in range(6):
        yield Program(f"protocol {protocol}", pickle.dumps(Ran(canary), protocol))
    yield Program("GLOBAL, REDUCE", mkdir + b"(" + path + b"tR" + end)
    stacked = b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93"
    yield Program("STACK_GLOBAL, REDUCE", stacked + path + b"\x85R" + end)
    yield Program("INST", b"(" + path + b"ios\nmkdir\n" + end)
    yield Program("OBJ", b"(" + mkdir + path + b"o" + end)
    lazy = named("builtins", "map") + mapped + b"\x81"
    yield Program("NEWOBJ", named("builtins", "bytes") + lazy + b"\x85\x81" + end)
    extended = named("builtins", "map") + mapped + b"}\x92"
    yield Program("NEWOBJ_EX", b"\x80\x04" + named("builtins", "bytes") + extended + b"\x85}\x92" + end)
    space = call("types", "SimpleNamespace")
    yield Program("BUILD", space + b"}" + text("__setstate__") + mkdir + b"sb" + path + b"b" + end)
    for name, code in (("EXT1", b"\x82%c"), ("EXT2", b"\x83%c\0"), ("EXT4", b"\x84%c\0\0\0")):
        yield Program(name, code % EXTENSION + b"(" + path + b"tR" + end)
    yield Program("PERSID", b"Pstorage\n" + end, False)
    yield Program("BINPERSID of a name", mkdir + b"Q" + end, False)
    yield Program("BINPERSID of a module", b"(" + text("module") + mkdir + b"tQ" + end, False)
    yield Program("APPENDS", call("collections", "deque") + b"(" + lazy + b"e" + end, False)
    yield Program("SETITEM of the environment", named("os", "environ") + path + path + b"s" + end, False)
    inner = pickle.dumps(Ran(canary), 2)
    yield Program("pickle in a pickle", call("pickle", "loads", b"C" + bytes([len(inner)]) + inner) + end)
    yield Program("eval", call("builtins", "eval", text(f"__import__('os').mkdir({canary!r})")) + end)
    yield Program("exec", call("builtins", "exec", text(f"import os; os.mkdir({canary!r})")) + end)
    held = call("functools", "partial", mkdir, path) + b")R"
    yield Program("partial", held + end)
    yield Program(
        "attribute of an attribute", b"\x80\x04" + named("os", "path.os.mkdir") + path + b"\x85R" + end
    )
    yield from _that_torch_takes()


def _that_torch_takes() -> Iterator[Program]:
    """Programs that `torch.load(…, weights_only=True)` would execute, some of them with a terabyte."""
    huge = value(10**12)
    calls = {
        "bytearray": call("builtins", "bytearray", value(10**9)),
        "set": call("builtins", "set", value(())),
        "_codecs.encode": call("_codecs", "encode", text("a" * 9), text("latin1")),
        "Counter": call("collections", "Counter"),
        "Parameter": call("torch._utils", "_rebuild_parameter", b"N", b"\x89", b"}"),
        "meta tensor": call(
            "torch._utils", "_rebuild_meta_tensor_no_storage", named("torch", "float32"),
            b"(" + huge + b"t", b"(" + value(1) + b"t", b"\x89",
        ),
        "sparse tensor": call("torch._utils", "_rebuild_sparse_tensor", named("torch", "sparse_coo"), b"("),
        "quantised tensor": call("torch._utils", "_rebuild_qtensor", b"N", value(0)),
        "wrapper subclass": call("torch._utils", "_rebuild_wrapper_subclass", named("torch", "Tensor")),
        "Size": call("torch", "Size", b"(" + huge + b"t"),
        "device": call("torch", "device", text("cuda:0")),
        "load from bytes": call("torch.storage", "_load_from_bytes", text("")),
        "OrderedDict of pairs": call("collections", "OrderedDict", value([("a", 1)])),
    }  # fmt: skip
    for name, content in calls.items():
        yield Program(name, b"\x80\x02" + content + b".", False)
    yield Program(
        "a name as a value",
        b"\x80\x02}" + text("format") + named("collections", "OrderedDict") + b"s.",
        False,
    )
    yield Program("no end", b"\x80\x02}", False)
    yield Program("no program", b"", False)
    yield Program("stack underflow", b"\x80\x02R.", False)
    yield Program("pop below a mark", b"\x80\x02}]](\x85\x86\x87.", False)
    yield Program("list inside itself", b"\x80\x02]q\0h\0a.", False)
    yield Program("lists in lists", b"\x80\x02" + b"]" * 30_000 + b"a" * 29_999 + b".", False)
    yield Program("tuples in tuples", b"\x80\x02)" + b"\x85" * 30_000 + b".", False)
    yield Program("marks", b"\x80\x02" + b"(" * 50_000 + b".", False)
    yield Program("billion laughs", _laughs(b"]", b"e"), False)
    yield Program("billion laughs in tuples", _laughs(b"", b"t"), False)
    yield Program("billion laughs in tuples as a key", _as_key(_laughs_without_end()), False)
    yield Program("tuples in tuples as a key", _as_key(b")" + b"\x85" * 400_000), False)
    yield Program("keys that collide", _as_key(*(value(n * (2**61 - 1)) for n in range(30_000))), False)
    yield Program("million lists", b"\x80\x02](" + b"]" * 600_000 + b"e.", False)
    yield Program("integer of 200 bytes", b"\x80\x02\x8a\xc8" + b"\x7f" * 200 + b".", False)
    yield Program(
        "integer of a megabyte",
        b"\x80\x02\x8b" + (1 << 20).to_bytes(4, "little") + b"\x7f" * (1 << 20) + b".",
        False,
    )
    yield Program("string of a terabyte", b"\x80\x04\x8d" + (10**12).to_bytes(8, "little") + b"a.", False)
    yield Program("frame of a terabyte", b"\x80\x04\x95" + (10**12).to_bytes(8, "little") + b"N.", False)
    yield Program("bytearray of a terabyte", b"\x80\x05\x96" + (10**12).to_bytes(8, "little") + b"N.", False)


def _as_key(*programs: bytes) -> bytes:
    """A dictionary with these keys, each of which it must hash."""
    return b"\x80\x02}(" + b"".join(program + b"K\1" for program in programs) + b"u."


def _laughs_without_end() -> bytes:
    """A tuple of all the tuples of `_laughs`, without POP, which torch does not support."""
    body = b"((" + value("ha") * 10 + b"tq\1"
    for level in range(2, 32):
        body += b"(" + (b"h" + bytes([level - 1])) * 10 + b"tq" + bytes([level])
    return body + b"t"


def _laughs(begin: bytes, end: bytes) -> bytes:
    """Lists of ten lists of ten lists and so on, thirty levels deep, in a few hundred bytes."""
    body = begin + b"(" + value("ha") * 10 + end + b"q\1"
    for level in range(2, 32):
        body += b"0" + begin + b"(" + (b"h" + bytes([level - 1])) * 10 + end + b"q" + bytes([level])
    return b"\x80\x02" + body + b"."
