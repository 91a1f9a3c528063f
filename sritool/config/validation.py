"""Settings that check themselves: frozen pydantic dataclasses whose errors are one line."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from typing import Annotated, Any, TypeVar, cast

import pydantic.dataclasses
from pydantic import AfterValidator, ConfigDict, Field, StrictBool, ValidationError

from sritool.errors import UsageError, quoted, suggestion, wanted_value

T = TypeVar("T")

# Every count has an upper bound, so that a typing error is refused before it allocates memory.
Flag = StrictBool
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]
PositiveCount = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]
Steps = Annotated[int, Field(strict=True, ge=1, le=100_000)]  # of one chain or ascent; held in a list
Draws = Annotated[int, Field(strict=True, ge=2, le=1_000_000)]  # per sentence
Size = Annotated[int, Field(strict=True, ge=1, le=1 << 16)]
Number = Annotated[float, Field(strict=True, ge=0, le=1e38)]  # float32 ends at 3.4e38
PositiveNumber = Annotated[float, Field(strict=True, gt=0, le=1e38)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
ShareBelowOne = Annotated[float, Field(strict=True, ge=0, lt=1)]
Name = Annotated[str, Field(strict=True, max_length=200)]
Figure = Annotated[float, Field(strict=True, ge=-math.inf, allow_inf_nan=True)]  # any but NaN


def _possible_path(path: str) -> str:
    if len(path) > 4096 or "\0" in path:
        raise ValueError(f"it has {len(path)} characters; a path has at most 4096, and none of them is 0")
    return path


# pydantic's own length bound refuses file names that are not UTF-8.
FilePath = Annotated[str, Field(strict=True), AfterValidator(_possible_path)]

CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)


@typing.dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def settings(kind: type[T]) -> type[T]:
    """Turn a class into a frozen dataclass that raises a UsageError for a value that its field does not allow.

    Checks across several fields go into a `__post_init__` that raises ValueError.
    """
    made = pydantic.dataclasses.dataclass(frozen=True, config=CHECKED)(kind)
    checked = made.__init__

    @functools.wraps(checked)
    def init(self: Any, *args: Any, **values: Any) -> None:
        try:
            checked(self, *args, **values)
        except ValidationError as error:
            raise UsageError(first_problem(error, made)) from error

    made.__init__ = init  # type: ignore[method-assign]
    return cast(type[T], made)


def first_problem(error: ValidationError, kind: Any) -> str:
    """Return in one line the first problem that pydantic found while building a dataclass of this kind."""
    problems = error.errors(include_url=False)
    # Unknown keys first, missing ones last: a setting that seems to be missing is often misspelt.
    order = {"unexpected_keyword_argument": 0, "missing": 2}
    problem = min(problems, key=lambda p: order.get(p["type"], 1))
    parts = [part for part in problem["loc"] if isinstance(part, str)]  # without list indices
    path = [part[:80] if part.isprintable() else quoted(part) for part in parts]
    name = f"setting {'.'.join(path) or kind.__name__}"
    if problem["type"] == "unexpected_keyword_argument":
        parent = functools.reduce(lambda outer, key: typing.get_type_hints(outer)[key], path[:-1], kind)
        known = [field.name for field in dataclasses.fields(parent)]
        return f"unknown {name}{suggestion(path[-1], known, ''.join(f'{part}.' for part in path[:-1]))}"
    if problem["type"] == "missing":
        return f"{name} is missing; give it too"
    if problem["type"] == "value_error":
        return f"{name}: {problem['ctx']['error']}"
    wanted = wanted_value(problem["msg"])
    if problem["type"] == "dataclass_type":
        wanted = "be a table of settings"
    return f"{name} is {quoted(problem['input'])}; it should {wanted}"
