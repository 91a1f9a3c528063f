"""Settings: what is refused, TOML round trips, and that every setting is read somewhere."""

from __future__ import annotations

import ast
import dataclasses
import tomllib
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sritool
from sritool.config.schedules import Ramp
from sritool.config.settings import KlConfig, PretrainingConfig, RunConfig, SamplerConfig
from sritool.config.values import build, merge, nested, parse_assignment, plain, read_toml, to_toml
from sritool.errors import UsageError


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sampler": {"step": 3}}, "unknown setting sampler.step; did you mean sampler.steps?"),
        ({"optimiser": {}}, "did you mean optimizer?"),
        ({"validation": {"likelihood": {"sample": 3}}}, "did you mean validation.likelihood.samples?"),
        ({"qqqq": 1}, "known: method, recipe, generator, sampler, kl, cycles, free_bits, "),
        ({"training": {"epochs": 2.5}}, "training.epochs is 2.5"),
        ({"training": {"epochs": "3"}}, "training.epochs is '3'"),
        ({"training": {"epochs": True}}, "training.epochs is True"),
        ({"generator": {"dropout": "half"}}, "generator.dropout is 'half'"),
        ({"generator": {"dropout": True}}, "generator.dropout is True"),
        ({"sampler": {"chain_dropout": 1}}, "sampler.chain_dropout is 1"),
        ({"sampler": {"step_sizes": [0.1, "x"]}}, "sampler.step_sizes is 'x'"),
        ({"sampler": {"temperature": "warm"}}, "sampler.temperature is 'warm'"),
        ({"sampler": {"temperature": {"start": 1, "until": 2}}}, "unknown setting sampler.temperature.until"),
        ({"generator": 3}, "generator is 3"),
        ({"sampler": {"step_sizes": []}}, "sampler.step_sizes is a list; it should have at least 1 item"),
        ({"training": {"language_model": False}}, "training.language_model is False; it should be a number"),
        ({"training": {"language_model": "0.5"}}, "training.language_model is '0.5'"),
    ],
)
def test_unknown_settings_and_wrong_types_are_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(RunConfig, values)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        *("generator.embedding=0", "generator.hidden=0", "generator.latent=-1", "generator.dropout=1.0"),
        *("sampler.steps=0", "sampler.step_sizes=[]", "sampler.step_sizes=[0.1, 0]", "sampler.end_weight=0"),
        *("sampler.theta_gradient=start", "sampler.temperature=-0.1", "sampler.evaluation_temperature=-1"),
        *("optimizer.name=lbfgs", "optimizer.learning_rate=0", "optimizer.clip=-1"),
        *("optimizer.initial_scale=0", "training.epochs=0", "training.batch_size=0", "training.seed=-1"),
        *("training.precision=float16", "training.save_every=0", "validation.sentences=1"),
        *("validation.likelihood.samples=1", "validation.likelihood.modes=0"),
        "validation.likelihood.degrees=2",
    ],
)
def test_out_of_range_values_are_refused(path: str) -> None:
    with pytest.raises(UsageError, match=path.partition("=")[0]) as caught:
        build(RunConfig, parse_assignment(path))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_numbers_and_single_values_are_converted() -> None:
    config = build(RunConfig, {"sampler": {"temperature": 1, "step_sizes": 2}, "generator": {"dropout": 0}})
    assert config.sampler.temperature == Ramp(1.0, 1.0)
    assert config.sampler.step_sizes == (2.0,)
    assert isinstance(config.generator.dropout, float)


def test_last_step_size_is_repeated() -> None:
    assert SamplerConfig(steps=5, step_sizes=(0.3, 0.2)).schedule() == [0.3, 0.2, 0.2, 0.2, 0.2]
    assert SamplerConfig(steps=1, step_sizes=(0.3, 0.2)).schedule() == [0.3]


def _numbers(kind: Any, where: str = "") -> list[tuple[str, type]]:
    """Path and type of every numeric setting."""
    found: list[tuple[str, type]] = []
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            found += _numbers(hint, f"{where}{name}.")
        elif hint in (int, float) or hint == tuple[float, ...]:
            found.append((f"{where}{name}", int if hint is int else float))
    return found


@pytest.mark.parametrize("path", [path for path, kind in _numbers(RunConfig) if kind is float])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_non_finite_numbers_are_refused(path: str, value: str) -> None:
    for text in (value, f"[0.1, {value}]") if path.endswith("step_sizes") else (value,):
        with pytest.raises(UsageError, match=path):
            build(RunConfig, merge(plain(RunConfig()), parse_assignment(f"{path}={text}")))


@pytest.mark.parametrize("path", [path for path, kind in _numbers(RunConfig) if kind is int])
def test_absurd_counts_are_refused(path: str) -> None:
    for count in (10**12 if path != "training.seed" else 1 << 63, 10**30, -(10**12)):
        with pytest.raises(UsageError, match=path):
            build(RunConfig, parse_assignment(f"{path}={count}"))


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": {"decay": -1.0}},  # up the gradient
        {"optimizer": {"decay": {"start": 1.0, "end": -0.1}}},
        {"sampler": {"temperature": {"start": 0.1, "end": 0.2, "quantum": -0.1}}},
        {"sampler": {"step_sizes": [0.1] * 100_001}},
    ],
)
def test_meaningless_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="setting"):
        build(RunConfig, values)


@given(
    name=st.text(),
    steps=st.integers(1, 100_000),
    sizes=st.lists(st.floats(1e-12, 1e6), min_size=1, max_size=4),
    flag=st.booleans(),
    end=st.floats(0, 1e3),
)
def test_settings_survive_toml(name: str, steps: int, sizes: list[float], flag: bool, end: float) -> None:
    sampler = SamplerConfig(name, steps, tuple(sizes), Ramp(0.0, end, 0.25), end, Ramp(end, 1.0), flag)
    config = dataclasses.replace(RunConfig(), sampler=sampler)
    assert build(RunConfig, tomllib.loads(to_toml(plain(config)))) == config


def test_plain_values_are_plain() -> None:
    def check(value: Any) -> None:
        assert type(value) in (dict, list, int, float, str, bool)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(item)

    check(plain(RunConfig()))
    assert build(RunConfig, plain(RunConfig())) == RunConfig()


def test_merge_is_recursive() -> None:
    under = {"a": {"x": 1, "y": {"p": 1, "q": 2}}, "b": 1, "c": {"z": 1}}
    over = {"a": {"y": {"q": 3}}, "b": {"w": 2}, "c": 7}
    assert merge(under, over) == {"a": {"x": 1, "y": {"p": 1, "q": 3}}, "b": {"w": 2}, "c": 7}
    assert under["a"] == {"x": 1, "y": {"p": 1, "q": 2}}, "the argument was changed"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("sampler.steps=10", {"sampler": {"steps": 10}}),
        (" sampler.steps = 10 ", {"sampler": {"steps": 10}}),
        ("optimizer.learning_rate=1e-4", {"optimizer": {"learning_rate": 1e-4}}),
        ("validation.likelihood.samples=9", {"validation": {"likelihood": {"samples": 9}}}),
        ("sampler.chain_dropout=false", {"sampler": {"chain_dropout": False}}),
        ("sampler.step_sizes=[0.1, 0.2]", {"sampler": {"step_sizes": [0.1, 0.2]}}),
        ("sampler.temperature={start=0.1, end=1}", {"sampler": {"temperature": {"start": 0.1, "end": 1}}}),
        ("optimizer.name=sgd", {"optimizer": {"name": "sgd"}}),
        ('optimizer.name="sgd"', {"optimizer": {"name": "sgd"}}),
        ("method=a=b", {"method": "a=b"}),
    ],
)
def test_assignments(text: str, values: dict[str, Any]) -> None:
    assert parse_assignment(text) == values


@pytest.mark.parametrize("text", ["sampler.steps", "=3", ""])
def test_invalid_assignments(text: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        parse_assignment(text)


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe\x00", None])
def test_unreadable_settings_file(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="give a TOML file") as caught:
        read_toml(path)
    assert "\n" not in str(caught.value)


def sections(kind: type) -> set[type]:
    found = {kind}
    for hint in typing.get_type_hints(kind).values():
        if dataclasses.is_dataclass(hint):
            found |= sections(hint)  # type: ignore[arg-type]
    return found


def attributes_read() -> set[str]:
    """Every attribute name read in the package, except in the settings' own checks."""
    found = set()
    for path in Path(sritool.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        checks = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name == "__post_init__"
            for inner in ast.walk(node)
        }
        found |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and id(node) not in checks
        }
    return found


def test_every_setting_is_read() -> None:
    known = {(kind.__name__, item.name) for kind in sections(RunConfig) for item in dataclasses.fields(kind)}
    assert ("LikelihoodConfig", "degrees") in known, "nested sections are skipped"
    read = attributes_read()
    assert "no_such_setting" not in read
    assert {(kind, name) for kind, name in known if name not in read} == set()


@pytest.mark.parametrize(
    ("section", "field", "limit"),
    [(KlConfig, "ramp", 200), (SamplerConfig, "name", 200), (PretrainingConfig, "encoder", 4096)],
)
def test_overlong_text_is_refused(section: Any, field: str, limit: int) -> None:
    with pytest.raises(UsageError, match=field) as caught:
        section(**{field: "x" * (limit + 1)})
    assert len(str(caught.value)) < 150


def _deep(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"start": value}
    return value


@pytest.mark.parametrize(
    "value",
    [10**6000, [10**6000], "x" * 3_000_000, b"x" * 3_000_000, _deep(100_000), {"x" * 3_000_000: 1}, None, {}],
    ids=["digits", "digits in a list", "text", "bytes", "deep", "long key", "None", "table"],
)
def test_hostile_value_gives_one_short_line(value: Any) -> None:
    for path, _ in _numbers(RunConfig):
        with pytest.raises(UsageError, match=path.partition(".")[0]) as caught:
            build(RunConfig, nested(path, value))
        assert len(str(caught.value)) < 300
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values", [{7: 1}, {None: 1}, {b"method": "sri"}, {"sampler": {10**6000: 1}}, [], 3, "sri"]
)
def test_settings_must_be_a_table_of_names(values: Any) -> None:
    with pytest.raises(UsageError):
        build(RunConfig, values)


def test_any_file_system_path_is_allowed() -> None:
    assert PretrainingConfig(encoder="runs/\udcff é").encoder == "runs/\udcff é"
    with pytest.raises(UsageError, match="encoder"):
        PretrainingConfig(encoder="runs/\0")


def test_changed_copies_are_validated() -> None:
    config = SamplerConfig(steps=7)
    assert dataclasses.replace(config, steps=8) == SamplerConfig(steps=8)
    assert hash(dataclasses.replace(config, steps=8)) == hash(SamplerConfig(steps=8))
    with pytest.raises(UsageError, match="steps"):
        dataclasses.replace(config, steps=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.steps = 8  # type: ignore[misc]
