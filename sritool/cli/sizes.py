"""Amounts of memory as people write them."""

from __future__ import annotations

import re

BYTES_PER_UNIT = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?")


def parse_bytes(text: str) -> int:
    """Bytes in `4G`, `500M`, `1.5 GiB` or `100000`; units are powers of 1024.

    Raises:  ValueError for anything else and for nothing at all.
    """
    found = SIZE.fullmatch(text.strip().lower())
    if not found:
        raise ValueError(f"{text!r} is no amount of memory; write it like 4G or 500M")
    amount = int(float(found[1]) * BYTES_PER_UNIT[found[2]])
    if amount <= 0:
        raise ValueError("an amount of memory must be above zero, like 4G or 500M")
    return amount
