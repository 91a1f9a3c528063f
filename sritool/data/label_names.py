"""Labels that the names of files tell: ``rt-polarity.pos`` and ``.neg``, ``sentiment.train.0`` and ``.1``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

LABEL_WORDS = ("pos", "neg", "positive", "negative", "neutral")
LABEL_SUFFIXES = tuple(f".{word}" for word in (*LABEL_WORDS, *map(str, range(10))))


def labels_of_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the label of each file, where the names are alike but for a label; else nothing.

    A label is one of `LABEL_WORDS` anywhere in the name, or an ending of one digit.
    """
    found = []
    for path in paths:
        words = re.split(r"([^A-Za-z0-9]+)", path.name.lower())
        places = [place for place, word in enumerate(words) if word in LABEL_WORDS]
        if not places and path.suffix in LABEL_SUFFIXES:
            places = [len(words) - 1]
        if len(places) != 1:
            return ()
        place = places[0]
        found.append((words[place], (*words[:place], *words[place + 1 :])))
    labels = tuple(label for label, _ in found)
    alike = len({rest for _, rest in found}) == 1
    return labels if len(paths) > 1 and alike and len(set(labels)) == len(paths) else ()
