"""Exceptions as one line and an exit code."""

from __future__ import annotations

import pytest

from sritool.cli.error_messages import describe


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 34471443476 bytes"),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"),
    ],
    ids=["python", "torch on a CPU", "torch on a GPU"],
)
def test_memory_that_is_not_there_is_said_in_words(error: Exception) -> None:
    line, code = describe(error)
    assert code == 1
    assert line.startswith("out of memory; give a smaller --batch-size")


def test_memory_that_torch_is_refused_for_real() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 55)
    assert describe(refused.value)[0].startswith("out of memory")
