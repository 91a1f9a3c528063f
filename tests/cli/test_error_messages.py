"""Out-of-memory exceptions described in one line with an exit code."""

from __future__ import annotations

import pytest

from sritool.cli.error_messages import describe


def torch_oom() -> Exception:
    import torch

    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 55)
    return error.value


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch_oom(), type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")],
    ids=["python", "torch-cpu", "torch-gpu"],
)
def test_out_of_memory_suggests_a_smaller_batch(error: Exception) -> None:
    line, code = describe(error)
    assert code == 1
    assert line.startswith("out of memory")
    assert "--batch-size" in line
