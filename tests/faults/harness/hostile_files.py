"""Hostile checkpoints as files: false archives, and hostile pickles and numbers in proper archives."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch

from faults.harness.hostile_pickles import call, named, programs, text, value
from sritool.runs.untrusted_file import DIGEST_MARK

_END = 22  # size of the last record of an archive in bytes


class Hostile(NamedTuple):
    """A file that must be refused; `only` if just one command reads the part that is wrong."""

    name: str
    content: bytes
    only: str = ""


def sealed(archive: bytes) -> bytes:
    """Add a correct digest to an archive, as an attacker could."""
    body = archive + DIGEST_MARK
    return body + hashlib.sha256(body).hexdigest().encode()


def archive_of(program: bytes, entries: Mapping[str, bytes] | None = None, **kind: Any) -> bytes:
    """Build an archive like those of torch.save, with any pickle and any other entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **kind) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", b"little")
        for name, content in (entries or {}).items():
            archive.writestr(f"archive/{name}", content)
        archive.writestr("archive/version", b"3\n")
    return file.getvalue()


def saved(values: Any) -> bytes:
    """Save values with torch and a correct digest, so that the code behind the digest check is reached."""
    file = io.BytesIO()
    torch.save(values, file)
    return sealed(file.getvalue())


def pickled_files(canary: str) -> Iterator[Hostile]:
    """Each program as a file of its own, as the values of an archive, and as another entry."""
    for program in programs(canary):
        if program.runs:
            yield Hostile(f"{program.name}, bare", program.content)
        yield Hostile(f"{program.name}, in an archive", sealed(archive_of(program.content)))
    first = next(programs(canary)).content
    yield Hostile("program in another entry", sealed(archive_of(value({}), {"code.pkl": first})))
    yield Hostile("program in an entry of numbers", sealed(archive_of(value({}), {"data/0": first})))
    yield Hostile("TorchScript", archive_of(value({}), {"constants.pkl": first, "code/a.py": b"import os"}))
    yield Hostile("archive in an archive", sealed(archive_of(archive_of(first))))
    yield Hostile("tar", _tar(first))


def _tar(program: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = len(program)
            archive.addfile(entry, io.BytesIO(program))
    return file.getvalue()


def tensor_files() -> Iterator[Hostile]:
    """Tensors that claim more than the file holds, or something invalid."""
    four = b"\0\0\x80?" * 4

    def checkpoint(name: str, tensor: bytes, entries: Mapping[str, bytes]) -> Hostile:
        body = {
            "format": text("sritool checkpoint"),
            "version": value(1),
            "weights": b"}" + text("w") + tensor + b"s",
        }
        program = b"\x80\x02}(" + b"".join(text(key) + content for key, content in body.items()) + b"u."
        return Hostile(name, sealed(archive_of(program, entries)))

    def storage(kind: bytes, key: bytes, count: int) -> bytes:
        return b"(" + text("storage") + kind + key + text("cpu") + value(count) + b"tQ"

    def tensor(of: bytes, offset: Any, size: Any, stride: Any, *rest: bytes) -> bytes:
        given = (
            value(offset),
            value(size),
            value(stride),
            b"\x89",
            call("collections", "OrderedDict"),
            *rest,
        )
        return call("torch._utils", "_rebuild_tensor_v2", of, *given)

    floats, data = named("torch", "FloatStorage"), {"data/0": four}
    good = storage(floats, text("0"), 4)
    shapes: dict[str, tuple[Any, ...]] = {
        "stride 0 over a terabyte": (0, (10**12,), (0,)),
        "stride 0": (0, (4,), (0,)),
        "negative stride": (0, (4,), (-1,)),
        "negative size": (0, (-4,), (1,)),
        "negative offset": (-1, (4,), (1,)),
        "offset beyond": (4, (4,), (1,)),
        "size beyond": (0, (5,), (1,)),
        "size that overflows": (0, (1 << 62, 1 << 62), (1 << 62, 1)),
        "sizes of nothing": (0, (10**15, 0), (1, 1)),
        "transposed": (0, (2, 2), (1, 2)),
        "overlapping": (0, (3, 2), (1, 1)),
        "sizes without strides": (0, (2, 2), (1,)),
        "a size that is a string": (0, ("4",), (1,)),
        "a hundred dimensions": (0, (1,) * 100, (1,) * 100),
        "an offset that is a string": ("0", (4,), (1,)),
    }
    for name, given in shapes.items():
        yield checkpoint(name, tensor(good, *given), data)
    whole = (0, (4,), (1,))
    storages = {
        "storage of a terabyte": storage(floats, text("0"), 10**12),
        "storage that is too small": storage(floats, text("0"), 2),
        "storage of a negative size": storage(floats, text("0"), -1),
        "missing storage": storage(floats, text("7"), 4),
        "storage outside": storage(floats, text("../data.pkl"), 4),
        "storage with a number for a key": storage(floats, value(0), 4),
        "storage of another type": storage(named("torch", "ComplexFloatStorage"), text("0"), 2),
        "storage of an invalid type": storage(named("torch", "load"), text("0"), 4),
        "storage that is a tensor": tensor(good, *whole),
    }
    for name, of in storages.items():
        yield checkpoint(name, tensor(of, *whole), data)
    huge = tensor(good, 0, (10**8, 2), (0, 0))
    ordered = call("collections", "OrderedDict", huge)
    yield checkpoint("dictionary of gigabytes", ordered, data)
    yield checkpoint("attributes of gigabytes", call("collections", "OrderedDict") + huge + b"b", data)
    count = tensor(good, 0, (10**9,), (0,))
    of_gigabytes = b"(" + text("storage") + floats + text("1") + text("cpu") + count + b"tQ"
    yield checkpoint("storage whose size is a tensor", of_gigabytes, {**data, "data/1": four})
    yield checkpoint("numbers that belong to no tensor", tensor(good, *whole), {**data, "data/1": four})
    yield checkpoint(
        "hooks",
        call(
            "torch._utils",
            "_rebuild_tensor_v2",
            good,
            value(0),
            value((4,)),
            value((1,)),
            b"\x89",
            value({"a": 1}),
        ),
        data,
    )
    yield checkpoint("seventh argument", tensor(good, *whole, value({"neg": True})), data)


def whole_files(values: Any) -> Iterator[Hostile]:
    """Honest checkpoints except for one tensor, which torch saves and loads but which is not plain and contiguous."""
    name = max(values["weights"], key=lambda key: values["weights"][key].numel())
    honest = values["weights"][name]
    others = {
        "stride 0 of the right shape": torch.zeros(1).expand(honest.shape),
        "stride 0 over a terabyte": torch.zeros(1).expand(10**12),
        "out of order": honest.t().contiguous().t(),
        "part of a larger one": torch.cat([honest, honest])[: len(honest)],
        "parameter": torch.nn.Parameter(honest),
        "with a gradient": honest.clone().requires_grad_(),
        "sparse": honest.to_sparse(),
        "without memory": honest.to("meta"),
        "of integers": honest.to(torch.int32),
    }
    for what, tensor in others.items():
        changed = {**values, "weights": {**values["weights"], name: tensor}}
        yield Hostile(f"whole file, weights {what}", saved(changed))
    file = io.BytesIO()
    torch.save(values, file)
    yield Hostile("whole file without a digest", file.getvalue())


def archive_files(good: bytes) -> Iterator[Hostile]:
    """Archives that torch.save would not write."""
    plain = good[: -64 - len(DIGEST_MARK)]
    program = value({"a": 1})
    deflated = {"compression": zipfile.ZIP_DEFLATED}
    yield Hostile("zip bomb", sealed(archive_of(program, {"data/0": bytes(50 << 20)}, **deflated)))
    for name, method in (("bzip2", zipfile.ZIP_BZIP2), ("LZMA", zipfile.ZIP_LZMA)):
        yield Hostile(
            f"bomb in {name}", sealed(archive_of(program, {"data/0": bytes(5 << 20)}, compression=method))
        )
    yield Hostile("two entries of one name", sealed(_twice(program)))
    for name in ("../../up", "/etc/up", "data/..", "data/-1", "data/٣", "data/0\n", "DATA.PKL", "data.pkl/x"):
        yield Hostile(
            f"entry {name.encode('unicode_escape').decode()}", sealed(archive_of(program, {name: b"x"}))
        )
    yield Hostile("no values", sealed(archive_of(program).replace(b"data.pkl", b"date.pkl")))
    yield Hostile("20,000 entries", sealed(archive_of(program, {f"data/{n}": b"" for n in range(20_000)})))
    yield Hostile("data before the archive", sealed(b"#!/bin/sh\n" + plain))
    yield Hostile("data after the archive", good + b"more")
    yield Hostile("two archives", plain + good)
    yield Hostile("foreign comment", plain[:-2] + b"\5\0hello")
    yield Hostile("wrong digest", good[:-64] + b"0" * 64)
    yield Hostile("digest in capitals", good[:-64] + good[-64:].upper())
    yield Hostile("overlapping entries", sealed(_overlapping(plain)))
    yield Hostile("quoted entries", sealed(_quoted(program)))
    for name, offset, size in (
        ("size", 24, 4),
        ("compressed size", 20, 4),
        ("method", 10, 2),
        ("flags", 8, 2),
        ("place", 42, 4),
    ):
        yield Hostile(
            f"directory with a wrong {name}", sealed(_directory_with(plain, offset, b"\x7f" * size))
        )
    ends = {"entries": 10, "size of the directory": 12, "place of the directory": 16, "disk": 4}
    for name, offset in ends.items():
        place = len(plain) - _END + offset
        yield Hostile(f"end with a wrong {name}", sealed(plain[:place] + b"\x03" + plain[place + 1 :]))


def _twice(program: bytes) -> bytes:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return archive_of(program, {"data.pkl": value({"b": 2})})


def _directory_with(archive: bytes, offset: int, wrong: bytes) -> bytes:
    place = archive.index(b"PK\1\2") + offset
    return archive[:place] + wrong + archive[place + len(wrong) :]


def _overlapping(archive: bytes) -> bytes:
    """Make every entry of the directory point to the first file."""
    content, place = bytearray(archive), archive.find(b"PK\1\2")
    while place >= 0:
        content[place + 42 : place + 46] = bytes(4)
        place = archive.find(b"PK\1\2", place + 1)
    return bytes(content)


def _quoted(program: bytes) -> bytes:
    """Make the first entry contain the whole second one, which is then read twice, as in a quoting bomb."""
    archive = archive_of(program)
    first = archive.index(b"PK\1\2")
    second = archive.index(b"PK\3\4", 4)
    longer = struct.pack("<I", len(program) + 40)
    assert second < first
    return archive[: first + 20] + longer + longer + archive[first + 28 :]


def legacy_files(values: Any) -> Iterator[Hostile]:
    """Honest values in the format that torch used before archives."""
    file = io.BytesIO()
    torch.save(values, file, _use_new_zipfile_serialization=False)
    yield Hostile("legacy form", file.getvalue())


def damaged_files(good: bytes) -> Iterator[Hostile]:
    """The file truncated at every tenth, with bits flipped over its whole length, and with bytes added or removed."""
    size, flips = len(good), 64
    for tenth in range(10):
        yield Hostile(f"{tenth} tenths", good[: size * tenth // 10])
    yield Hostile("last byte missing", good[:-1])
    yield Hostile("first byte missing", good[1:])
    yield Hostile("a byte added", good[: size // 2] + b"\0" + good[size // 2 :])
    yield Hostile("a page of zeros", good[: size // 2] + bytes(4096) + good[size // 2 + 4096 :])
    yield Hostile("only zeros", bytes(size))
    for number in range(flips):
        place, bit = size * number // flips, number % 8
        yield Hostile(f"bit {bit} of byte {place}", flipped(good, place, bit))


def flipped(content: bytes, place: int, bit: int) -> bytes:
    """Return the bytes with one bit flipped."""
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)
