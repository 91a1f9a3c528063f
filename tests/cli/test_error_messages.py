"""Exceptions as one line and an exit code."""

from __future__ import annotations

import pytest

from sritool.cli.error_messages import describe


def refused_by_torch() -> Exception:
    import torch

    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 55)
    return refused.value


@pytest.mark.parametrize(
    "error",
    [MemoryError(), refused_by_torch(), type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")],
    ids=["python", "torch on a CPU", "torch on a GPU"],
)
def test_memory_that_is_not_there_is_said_in_words(error: Exception) -> None:
    line, code = describe(error)
    assert code == 1
    assert line.startswith("out of memory; give a smaller --batch-size")
