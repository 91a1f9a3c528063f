"""Settings between dataclasses, nested plain values and TOML.

`build` reads nested plain values, `plain` writes them, `merge` lays one over another, so that precedence (preset,
file, environment, flags) is four merges.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from sritool.config.schedules import Ramp, constant
from sritool.errors import UsageError

T = TypeVar("T")
_MOST = 1 << 63
_LARGEST_TOML = 1 << 16  # the parser's time grows with the square of a dotted key's length
_LONGEST_SHOWN = 80  # characters of a value in a message


def plain(config: Any) -> Any:
    """A dataclass as nested dictionaries, lists and plain values."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    return [plain(item) for item in config] if isinstance(config, tuple | list) else config


def build(kind: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """A dataclass from nested plain values; what is left out keeps its default.

    Raises: UsageError for an unknown key (the nearest is named) or a value of the wrong type.
    """
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            key = str(key)[:_LONGEST_SHOWN]
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f"; did you mean {where}{near[0]}?" if near else f"; known: {', '.join(hints)}"
            raise UsageError(f"unknown setting {where}{key}{hint}")
    given = {key: _convert(hints[key], value, where + key) for key, value in values.items()}
    missing = [f.name for f in dataclasses.fields(cast(Any, kind)) if _required(f) and f.name not in given]
    if missing:
        raise UsageError(f"settings {where}* lack {', '.join(missing)}; give {where}{missing[0]} too")
    return kind(**given)


def _required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, name: str) -> Any:
    if isinstance(value, int) and abs(value) >= _MOST:
        raise UsageError(f"setting {name} is {_short(value)}; give a number below 2^63")
    if dataclasses.is_dataclass(hint):
        if hint is Ramp and isinstance(value, int | float) and not isinstance(value, bool):
            return constant(float(value))
        if not isinstance(value, Mapping):
            raise UsageError(f"setting {name} is {_short(value)}; give a table of settings")
        return build(cast(type, hint), value, f"{name}.")
    if isinstance(hint, types.GenericAlias):  # tuple[float, ...]
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(typing.get_args(hint)[0], item, name) for item in items)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise UsageError(f"setting {name} is {_short(value)}; give a value of type {hint.__name__}")
    return value


def _short(value: Any) -> str:
    """For a message: a file may hold an integer that takes minutes to print, or a text of megabytes."""
    if isinstance(value, int) and abs(value) >= _MOST:
        return "beyond 2^63"
    text = " ".join(repr(value[:_LONGEST_SHOWN] if isinstance(value, str) else value).split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


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
    scalars = [
        f"{key} = {_literal(value)}" for key, value in values.items() if not isinstance(value, Mapping)
    ]
    tables = [(f"{prefix}{key}", value) for key, value in values.items() if isinstance(value, Mapping)]
    own = "\n".join(scalars) + "\n" if scalars else ""
    return own + "".join(f"\n[{name}]\n{to_toml(value, name + '.')}" for name, value in tables)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's but for DEL, which TOML wants escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
