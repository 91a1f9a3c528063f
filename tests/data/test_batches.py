"""Batches: padding, every sentence once, and an order that depends only on seed and epoch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sritool.data.batches import collate, evaluation_batches, training_batches
from sritool.data.tokenizer import BOS, EOS, PAD
from support.batches import split_of

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=60).map(
    lambda sizes: np.array(sizes, dtype=np.int64)
)


def test_collate_puts_sentences_side_by_side() -> None:
    split = split_of([[5, 6, EOS], [EOS], [7, 8, 9], [4, EOS]])  # the third is cut, without </s>
    batch = collate(split, [2, 0, 1])
    assert batch.targets.t().tolist() == [[7, 8, 9], [5, 6, EOS], [EOS, PAD, PAD]]
    assert batch.inputs.t().tolist() == [[BOS, 7, 8], [BOS, 5, 6], [BOS, EOS, PAD]]
    assert batch.lengths.tolist() == [3, 3, 1]
    assert batch.examples.tolist() == [2, 0, 1]
    assert batch.predictions == 7
    assert {tensor.dtype for tensor in batch} == {torch.int64}


def test_length_is_padded_to_a_multiple() -> None:
    split = split_of([[5, 6, 7, 8, EOS], [7, EOS]])
    plain, padded = collate(split, [0, 1]), collate(split, [0, 1], multiple=4)
    assert padded.targets.shape == padded.inputs.shape == (8, 2)
    assert torch.equal(padded.targets[:5], plain.targets)
    assert torch.equal(padded.inputs[:5], plain.inputs)
    assert padded.targets[5:].eq(PAD).all()
    assert torch.equal(padded.lengths, plain.lengths)
    assert collate(split_of([[5, 6, 7, EOS]]), [0], multiple=4).targets.shape == (4, 1)


def test_inputs_of_predicted_tokens_are_never_padding() -> None:
    """The input of a predicted token is the previous target or <s>."""
    batch = collate(split_of([[5, 6, EOS], [EOS], [7, EOS]]), [0, 1, 2])
    predicted = batch.targets != PAD
    assert not bool((batch.inputs[predicted] == PAD).any())
    assert predicted.sum(0).tolist() == batch.lengths.tolist()


def test_no_sentences() -> None:
    batch = collate(split_of([[5, EOS]]), [])
    assert batch.targets.shape[1] == batch.predictions == 0
    lengths = np.zeros(0, dtype=np.int64)
    assert training_batches(lengths, 4, 0, 0) == evaluation_batches(lengths, 4) == []


@given(lengths=LENGTHS, size=st.integers(1, 9), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_training_batches_hold_every_sentence_once(
    lengths: np.ndarray, size: int, seed: int, epoch: int
) -> None:
    batches = training_batches(lengths, size, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    sizes = sorted(len(batch) for batch in batches)
    assert sizes[1:] == [size] * (len(batches) - 1)
    again = training_batches(lengths, size, seed, epoch)
    assert all(np.array_equal(one, other) for one, other in zip(batches, again, strict=True))


@given(lengths=LENGTHS, size=st.integers(1, 9))
def test_training_batches_group_similar_lengths(lengths: np.ndarray, size: int) -> None:
    """Sorted by length, no batch overlaps the next, so no other batching pads less at the borders."""
    ranges = sorted(
        (int(lengths[b].min()), int(lengths[b].max())) for b in training_batches(lengths, size, 0, 0)
    )
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))


def test_order_and_grouping_change_with_seed_and_epoch() -> None:
    lengths = np.repeat(np.arange(1, 6), 40)
    orders = {
        (seed, epoch): [batch.tolist() for batch in training_batches(lengths, 8, seed, epoch)]
        for seed in range(2)
        for epoch in range(3)
    }
    assert len({str(order) for order in orders.values()}) == 6
    groups = {str(sorted(sorted(batch) for batch in order)) for order in orders.values()}
    assert len(groups) == 6, "batches hold the same sentences each time"
    first = [int(lengths[order[0][0]]) for order in orders.values()]
    assert len(set(first)) > 1, "batches come in order of length"


@given(lengths=LENGTHS, size=st.integers(1, 9))
def test_evaluation_batches_are_longest_first(lengths: np.ndarray, size: int) -> None:
    batches = evaluation_batches(lengths, size)
    order = np.concatenate(batches)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert order.tolist() == sorted(range(len(lengths)), key=lambda index: -lengths[index])
    assert all(len(batch) == size for batch in batches[:-1])


def test_batch_moves_to_a_device() -> None:
    batch = collate(split_of([[5, EOS], [7, 8, EOS]]), [0, 1])
    moved = batch.to(torch.device("meta"))
    assert {tensor.device.type for tensor in moved} == {"meta"}
    assert [tensor.shape for tensor in moved] == [tensor.shape for tensor in batch]
