"""The workspace reuses memory by name."""

from __future__ import annotations

import torch

from sritool.model.workspace import Workspace


def test_one_name_shares_memory_for_any_shape() -> None:
    workspace, like = Workspace(), torch.empty(0)
    first = workspace.take("a", (3, 4), like)
    smaller, other = workspace.take("a", (2, 5), like), workspace.take("b", (3, 4), like)
    assert smaller.shape == (2, 5)
    assert smaller.data_ptr() == first.data_ptr()
    assert other.data_ptr() != first.data_ptr()


def test_larger_shape_or_other_type_gets_new_memory() -> None:
    workspace = Workspace()
    first = workspace.take("a", (2, 2), torch.empty(0)).fill_(7.0)
    assert workspace.take("a", (5,), torch.empty(0)).shape == (5,)
    assert workspace.take("a", (2,), torch.empty(0, dtype=torch.float64)).dtype == torch.float64
    assert torch.equal(first, torch.full((2, 2), 7.0))
