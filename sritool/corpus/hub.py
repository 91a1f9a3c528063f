"""Fetching the named corpora from the Hugging Face hub.

Every set is read from the hub's own Parquet conversion (``refs/convert/parquet``), by ``hf://`` addresses:
``datasets`` 4 and later runs no loading scripts, which ``ptb`` has on its main branch, and a local folder of
the same name cannot take the place of an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sritool.errors import SritoolError

REVISION = "refs/convert/parquet"


@dataclass(frozen=True)
class HubSet:
    """A data set on the hub: its id, its configuration, and which of its splits is which of ours."""

    hub_id: str
    config: str
    splits: Mapping[str, str]

    def data_files(self) -> dict[str, str]:
        """The addresses of each split's Parquet files."""
        base = f"hf://datasets/{self.hub_id}@{REVISION}/{self.config}"
        return {ours: f"{base}/{theirs}/*.parquet" for ours, theirs in self.splits.items()}


THREE = {"train": "train", "valid": "validation", "test": "test"}
TWO = {"train": "train", "test": "test"}

HUB_SETS = {
    "ptb": HubSet("ptb-text-only/ptb_text_only", "penn_treebank", THREE),
    "snli": HubSet("stanfordnlp/snli", "plain_text", THREE),
    "yahoo": HubSet("community-datasets/yahoo_answers_topics", "yahoo_answers_topics", TWO),
    "yelp": HubSet("fancyzhx/yelp_polarity", "plain_text", TWO),
}


def fetch(name: str) -> Mapping[str, Any]:
    """The splits of a named corpus as ``datasets.Dataset``, by our names for them.

    Raises: SritoolError if it cannot be fetched; the message says how to give local files instead.
    """
    import datasets

    try:
        found: Mapping[str, Any] = datasets.load_dataset("parquet", data_files=HUB_SETS[name].data_files())
    except Exception as error:  # the client's errors are many, and change from one version to the next
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise SritoolError(
            f"cannot fetch {name} from the Hugging Face hub ({reason}); with the files at hand, run: "
            f"sritool preprocess {name} --from DIR"
        ) from error
    return found
