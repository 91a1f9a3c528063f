"""Conversion of settings between dataclasses, nested plain values and TOML.

`build` makes a dataclass from nested plain values; `plain` does the reverse. `merge` overrides one table with
another: preset, file, environment and flags are merged in this order.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from sritool.config.validation import first_problem
from sritool.errors import UsageError

T = TypeVar("T")
_LARGEST_TOML = 1 << 16  # parsing time grows with the square of a dotted key's length


def plain(config: Any) -> Any:
    """Return a dataclass as nested dictionaries, lists and plain values."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    return [plain(item) for item in config] if isinstance(config, tuple | list) else config


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return a dataclass made from nested plain values, which may come from an untrusted file.

    Missing fields keep their defaults.

    Raises:
        UsageError: A key is unknown (the nearest known one is named), or a field does not allow its value.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise UsageError(first_problem(error, kind)) from error


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `under` with its values overridden by those of `over`, table by table."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return result


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {"a.b": value} for {"a": {"b": value}}; a constant schedule becomes one value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if not isinstance(value, Mapping):
            found[f"{prefix}{key}"] = value
        elif "start" in value and value["start"] == value.get("end"):
            found[f"{prefix}{key}"] = value["start"]
        else:
            found |= flat(value, f"{prefix}{key}.")
    return found


def nested(path: str, value: Any) -> dict[str, Any]:
    """Return {"a": {"b": value}} for the path a.b."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return cast(dict[str, Any], value)


def parse_assignment(text: str) -> dict[str, Any]:
    """Return the nested values of a text like `sampler.steps=10`; the value is parsed as TOML, or else a string.

    Raises:
        UsageError: The `=` or the name before it is missing.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"--set {text!r} is not key=value; write for example --set sampler.steps=10")
    try:
        parsed: Any = tomllib.loads(f"value = {value.strip()}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    return nested(path.strip(), parsed)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file.

    Raises:
        UsageError: The file cannot be read, is too large for settings, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_TOML + 1)
        if len(data) > _LARGEST_TOML:
            raise ValueError(f"it has more than {_LARGEST_TOML // 1024} KB")
        return tomllib.loads(data.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # RecursionError from deeply nested tables
        why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"cannot read the configuration {path}: {why}; give a TOML file") from error


def to_toml(values: Mapping[str, Any], prefix: str = "") -> str:
    """Return nested plain values as TOML text; `prefix`, such as "validation.", precedes the names of tables."""
    tables = [(f"{prefix}{key}", value) for key, value in values.items() if isinstance(value, Mapping)]
    # JSON values are valid TOML, except that TOML requires DEL to be escaped too.
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n".replace("\x7f", "\\u007f")
        for key, value in values.items()
        if not isinstance(value, Mapping)
    ]
    return "".join(lines) + "".join(f"\n[{name}]\n{to_toml(value, name + '.')}" for name, value in tables)
