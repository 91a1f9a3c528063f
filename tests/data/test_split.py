"""Sentences of a split without their ends."""

from __future__ import annotations

import numpy as np

from sritool.data.split import Split, without_ends


def test_cut_sentences_stay_without_eos() -> None:
    ids = np.array([5, 6, 2, 7, 2, 8, 9, 2], dtype=np.int32)
    split = Split(ids, np.array([0, 3, 5, 8]), None, np.array([3, 2, 3]))
    found = without_ends(split, np.array([True, False, True]))
    assert [found.targets(i).tolist() for i in range(3)] == [[5, 6], [7, 2], [8, 9]]
