"""The dependency rule, read off the sources: cli → tasks → methods → core → corpus, downwards only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sritool

PACKAGE = Path(sritool.__file__).parent
LAYERS = ("corpus", "core", "methods", "tasks", "cli")
SHARED_BY_METHODS = {"base", "encoding", "registry"}  # in methods/, and no method themselves
SHARED_BY_ALL = {"sritool.errors", "sritool.files", "sritool.locks"}  # beside the layers, and below them
ONLY_IN_CLI = {"typer", "rich"}
HEAVY = {
    "torch",
    "datasets",
    "numpy",
    "sentencepiece",
    "sklearn",
    "scipy",
    "matplotlib",
    "pandas",
    "pyarrow",
} | {
    *("plotly", "jinja2", "sacrebleu"),
}
PROCESS_ENDS = {"exit", "quit", "sys.exit", "os._exit", "os.abort"}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer_of(module: str) -> str | None:
    """`core` for `sritool.core.langevin`; None for what all may use: the package itself, SHARED_BY_ALL."""
    parts = module.split(".")
    return parts[1] if parts[0] == "sritool" and len(parts) > 1 and parts[1] in LAYERS else None


def module_of(path: Path) -> str:
    parts = ("sritool", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(tree: ast.AST, path: Path) -> Iterator[str]:
    """What the nodes import, wherever they stand; `from a import b` gives a.b, which may be a name."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imported_at_start(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported: not those in functions or under TYPE_CHECKING."""
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        pending += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def layer_faults(path: Path, tree: ast.Module) -> Iterator[str]:
    """What in a module breaks the rule of layers."""
    own, module = layer_of(module_of(path)), module_of(path)
    for name in imported_modules(tree, path):
        other = layer_of(name)
        if own and other and LAYERS.index(other) > LAYERS.index(own):
            yield f"{own} imports {name}, which is above it"
        if module in SHARED_BY_ALL and other:
            yield f"{module} is below all layers and imports {name}"
        if own and own != "cli" and name.split(".")[0] in ONLY_IN_CLI:
            yield f"{own} imports {name}, which only cli may"
        if own == other == "methods":
            here, there = {*module.split(".")[2:3]}, {*name.split(".")[2:3]}
            if here - SHARED_BY_METHODS and there - SHARED_BY_METHODS:
                yield f"{module} imports {name}: a method stands alone"


def talk_faults(tree: ast.Module) -> Iterator[str]:
    """Printing and exits, which are for cli alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in PROCESS_ENDS | {"print"}:
            yield f"line {node.lineno}: {ast.unparse(node.func)}()"
        elif isinstance(node, ast.Name) and node.id == "SystemExit":
            yield f"line {node.lineno}: SystemExit"
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"):
            yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_module_keeps_the_rule(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = layer_of(module_of(path))
    faults = [*layer_faults(path, tree)]
    if own != "cli":
        faults += talk_faults(tree)
    if own == "cli" or module_of(path) == "sritool":
        start = [name for node in imported_at_start(tree) for name in imported_modules(node, path)]
        faults += [
            f"imports {name} at the top: --help would wait" for name in start if name.split(".")[0] in HEAVY
        ]
    assert not faults


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("core/x.py", "def f():\n    from sritool.tasks.train import train"),
        ("core/x.py", "import sritool.cli.app"),
        ("corpus/x.py", "from sritool.core import generator"),
        ("corpus/x.py", "from ..core.generator import Generator"),
        ("tasks/x.py", "from sritool import cli"),
        ("methods/lm.py", "from sritool.methods.sri import Sri"),
        ("methods/lm.py", "from sritool.methods import sri"),
        ("methods/lm.py", "from .sri import Sri"),
        ("tasks/x.py", "def f():\n    import rich.console"),
        ("tasks/x.py", "import typer as t"),
        ("files.py", "from sritool.corpus.folder import staged"),
    ],
)
def test_rule_finds_a_wrong_import(where: str, source: str) -> None:
    assert [*layer_faults(PACKAGE / where, ast.parse(source))]


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("cli/x.py", "from sritool.tasks.train import train\nimport rich"),
        ("tasks/x.py", "from sritool.corpus.store import load_corpus\nfrom sritool.errors import DataError"),
        ("methods/lm.py", "from sritool.methods.base import Method\nfrom sritool import __version__"),
        ("methods/registry.py", "def f():\n    from sritool.methods.sri import Sri"),
        ("core/x.py", "from sritool.core.generator import Generator\nimport torch"),
        ("tasks/x.py", "import sritool.methods\nfrom sritool import methods"),
        ("corpus/x.py", "from sritool import files\nfrom sritool.files import whole_file"),
        ("files.py", "from sritool.locks import take"),
    ],
)
def test_rule_lets_a_right_import_pass(where: str, source: str) -> None:
    assert not [*layer_faults(PACKAGE / where, ast.parse(source))]


@pytest.mark.parametrize(
    "source", ["print(1)", "import sys\nsys.exit(1)", "raise SystemExit", "sys.stderr.write('')"]
)
def test_rule_finds_talk(source: str) -> None:
    assert [*talk_faults(ast.parse(source))]


def test_imports_under_type_checking_and_in_functions_do_not_count_as_start() -> None:
    tree = ast.parse(
        "import a\nif TYPE_CHECKING:\n    import b\ndef f():\n    import c\n"
        "try:\n    import d\nexcept ImportError:\n    pass\nclass K:\n    import e\n"
    )
    names = {name for node in imported_at_start(tree) for name in imported_modules(node, PACKAGE / "x.py")}
    assert names == {"a", "d", "e"}
