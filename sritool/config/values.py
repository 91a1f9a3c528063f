"""Settings between dataclasses, nested plain values and TOML.

`build` reads nested plain values, `plain` writes them, `merge` lays one over another, so that precedence (preset,
file, environment, flags) is four merges.
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
_LARGEST_TOML = 1 << 16  # the parser's time grows with the square of a dotted key's length


def plain(config: Any) -> Any:
    """A dataclass as nested dictionaries, lists and plain values."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    return [plain(item) for item in config] if isinstance(config, tuple | list) else config


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from nested plain values; what is left out keeps its default.

    Raises: UsageError for an unknown key (the nearest is named) or a value that its field does not allow.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise UsageError(first_problem(error, kind)) from error


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `under`, table by table."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return result


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a.b": value} for {"a": {"b": value}}; a schedule that never moves is one value."""
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
    """{"a": {"b": value}} for the path a.b."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return cast(dict[str, Any], value)


def parse_assignment(text: str) -> dict[str, Any]:
    """`sampler.steps=10` as nested values; the right side is read as TOML, else as a string.

    Raises: UsageError if there is no `=`.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"--set {text!r} is no key=value; write for example --set sampler.steps=10")
    try:
        parsed: Any = tomllib.loads(f"value = {value.strip()}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    return nested(path.strip(), parsed)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's values. Raises: UsageError if it cannot be read or parsed."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_TOML + 1)
        if len(data) > _LARGEST_TOML:
            raise ValueError(f"it has more than {_LARGEST_TOML // 1024} KB")
        return tomllib.loads(data.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the configuration {path}: {error}; give a TOML file") from error
    except RecursionError as error:
        raise UsageError(
            f"the configuration {path} is nested too deep; give a TOML file of settings"
        ) from error


def to_toml(values: Mapping[str, Any], prefix: str = "") -> str:
    """Nested plain values as TOML text."""
    tables = [(f"{prefix}{key}", value) for key, value in values.items() if isinstance(value, Mapping)]
    # JSON's values are TOML's, but for DEL, which TOML wants escaped too.
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n".replace("\x7f", "\\u007f")
        for key, value in values.items()
        if not isinstance(value, Mapping)
    ]
    return "".join(lines) + "".join(f"\n[{name}]\n{to_toml(value, name + '.')}" for name, value in tables)
