"""`sritool decode`: one sentence per code, in every input format, against the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sritool.api import load
from sritool.model.decoding import DecodingConfig
from support.tables import Run, json_rows, output

LINES = ["the otter finds the kettle at noon", "", "a mason", "the zebra sings at noon", "upstairs"]


@pytest.fixture
def codes(run: Run) -> np.ndarray:
    """Codes far apart from one another, also in codes.npy."""
    found = np.float32(3) * load(Path("runs/mine-sri")).prior(7, seed=2)
    np.save("codes.npy", found)
    return found


def test_encode_piped_into_decode_keeps_lines(run: Run) -> None:
    encoded = output(run("encode", "mine-sri", "-q", stdin="\n".join(LINES)))
    decoded = output(run("decode", "mine-sri", "-q", stdin=encoded)).split("\n")
    model = load(Path("runs/mine-sri"))
    assert decoded == [*model.decode(model.encode(LINES)), ""]
    for form in ("json", "npy", "plain", "csv"):
        result = run("encode", "mine-sri", "-q", "-f", form, stdin="\n".join(LINES))
        assert output(run("decode", "mine-sri", "-q", stdin=result.stdout_bytes)).split("\n") == decoded


def test_decoding_options_match_the_library(run: Run, codes: np.ndarray) -> None:
    model = load(Path("runs/mine-sri"))

    def decoded(*args: object) -> list[str]:
        return output(run("decode", "mine-sri", "-q", "--codes", "codes.npy", *args)).splitlines()

    greedy = decoded()
    assert greedy == model.decode(codes)
    warm = decoded("--temperature", 3, "--seed", 4)
    assert warm == model.decode(codes, DecodingConfig(greedy=False, temperature=3.0), seed=4) != greedy
    assert decoded("--temperature", 3, "--seed", 5) != warm
    assert all(len(text.split()) <= 2 for text in decoded("--max-length", 2))
    assert decoded("--top-k", 1) == greedy


def test_formats(run: Run, codes: np.ndarray) -> None:
    expected = load(Path("runs/mine-sri")).decode_whole(codes)
    command = ("decode", "mine-sri", "-q", "--codes", "codes.npy", "-f")
    assert json_rows(run(*command, "json")) == [
        {"sentence": text, "ended": ended} for text, ended in expected
    ]
    lines = [f"{text}\t{str(ended).lower()}" for text, ended in expected]
    assert output(run(*command, "tsv")).splitlines() == ["sentence\tended", *lines]
