"""Option records flattened into parameters, and help taken from docstrings."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from sritool.cli.signatures import check_numbers, documentation, flat
from sritool.errors import UsageError


@dataclass(frozen=True)
class Shared:
    seed: Annotated[int, typer.Option("--seed")] = 0
    name: Annotated[str | None, typer.Option("--name")] = None


def test_record_is_flattened_into_its_fields() -> None:
    got = []

    def command(*, shared: Shared, points: Annotated[int, typer.Option("--points")] = 3) -> None:
        """Do it."""
        got.append((shared, points))

    flattened = flat(command)
    assert list(inspect.signature(flattened).parameters) == ["seed", "name", "points"]
    assert flattened.__doc__ == "Do it."
    flattened(seed=4, name="a", points=2)
    assert got == [(Shared(4, "a"), 2)]


@dataclass(frozen=True)
class Described:
    """Options.

    Attributes:
        seed: Seed of
            every draw. [default: the run's]
        plain: An option without more to it.
    """

    seed: Annotated[int | None, typer.Option("--seed", min=0)] = None
    plain: str = ""


@dataclass(frozen=True)
class Inherited(Described):
    """The same.

    Attributes:
        plain: Other words.
    """


def test_help_comes_from_docstrings() -> None:
    def command(ctx: typer.Context, *, shared: Inherited, points: int = 3) -> None:
        """Do it.

        At
        once.

        Args:
            points: Points [a, b] on the way.
        """

    assert documentation(command)[0] == "Do it.\n\nAt once."
    options = {
        name: parameter.annotation.__metadata__[0]
        for name, parameter in inspect.signature(flat(command)).parameters.items()
        if name != "ctx"
    }
    assert [(name, info.help, info.show_default, info.min) for name, info in options.items()] == [
        ("seed", "Seed of every draw.", "the run's", 0),
        ("plain", "Other words.", True, None),
        ("points", "Points [a, b] on the way.", True, None),
    ]


def test_memory_may_be_large() -> None:
    check_numbers({"memory": 2 << 40})
    with pytest.raises(UsageError, match="--memory"):
        check_numbers({"memory": 1 << 61})


@pytest.mark.parametrize("given", [{"seed": 1 << 63}, {"points": 10**8}, {"points": 10**5000}])
def test_absurdly_large_number_is_refused(given: dict[str, int]) -> None:
    def command(*, shared: Shared, points: Annotated[int, typer.Option("--points")] = 3) -> None:
        pytest.fail("the command was called")

    with pytest.raises(UsageError, match="give at most"):
        flat(command)(**{"seed": 0, "name": None, "points": 3} | given)
