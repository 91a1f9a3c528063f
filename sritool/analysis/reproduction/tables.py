"""The tables by name: the methods in each, what is measured of them, and what the paper says."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sritool.analysis.reproduction import measures
from sritool.analysis.reproduction.measures import EVALUATED, Measure
from sritool.analysis.reproduction.published import LABELS, NAMES, accuracy_from, recon_after
from sritool.errors import UsageError, suggestion


class Variation(NamedTuple):
    """A run that differs from its method's recipe in one setting."""

    name: str = ""  # part of the run's name
    words: tuple[str, ...] = ()  # for train


class PaperTable(NamedTuple):
    """A table or figure of the paper, or what we have in place of what its text says."""

    title: str
    corpus: str  # unless another is asked for
    methods: tuple[str, ...]
    measures: Callable[[int | None], tuple[Measure, ...]]  # of so many sentences
    columns: tuple[str, ...]  # figures shown, in order
    says: str = ""  # what the paper says in words
    differences: tuple[str, ...] = ()  # figures that runs are compared in, sentence by sentence
    labelled: bool = False  # whether it needs a corpus with labels
    varied: bool = False  # whether steps and temperatures of the chain are varied


WORK_ORDER = ("lm", "vae-fb", "sri", "vae-anneal", "vae-fbp", "vae-cyclical", "ae", "vae-lagging", "sa-vae")
"""Methods as they are trained: what decides first, what takes longest last."""

_WITHOUT_AE = tuple(name for name in NAMES if name != "ae")
_WITH_Z = tuple(name for name in NAMES if name != "lm")
_LIKELIHOOD = ("ppl", "nll", "recon")

TABLES = {
    "table1": PaperTable(
        "Likelihood and use of z on the test split",
        "ptb",
        _WITHOUT_AE,
        lambda limit: (measures.evaluation(EVALUATED),),
        ("ppl", "recon", "au", "kl", "nll", "posterior-kl", "permuted"),
        differences=_LIKELIHOOD,
    ),
    "table2": PaperTable(
        "Sentences on a line between two draws of the prior",
        "snli",
        ("vae-fb", "sri"),
        lambda limit: (measures.interpolation(),),
        ("edits between neighbours", "neighbours that repeat", "distinct sentences of a line"),
        says="FB-VAE repeats its first sentence, SRI does not.",
    ),
    "table3": PaperTable(
        "Samples",
        "snli",
        ("vae-fb", "sri"),
        lambda limit: (measures.samples(), measures.sample_figures()),
        ("unique", "distinct-1", "distinct-2", "self-bleu"),
        says="Ten samples, to be read.",
    ),
    "table4": PaperTable(
        "Reconstruction of sentences from noisy ones",
        "snli",
        _WITH_Z,
        lambda limit: (measures.noisy_recon(),),
        (*(recon_after(k) for k in range(measures.SWAPS + 1)), "permuted"),
    ),
    "table5": PaperTable(
        "Classification by codes, without labels and with few",
        "yelp",
        _WITH_Z,
        lambda limit: (measures.classification(),),
        tuple(accuracy_from(number) for number in LABELS),
        labelled=True,
    ),
    "figure1": PaperTable(
        "The aggregate posterior",
        "ptb",
        ("sri",),
        lambda limit: (measures.latent_map(limit),),
        (
            "standard deviation, least",
            "standard deviation, largest",
            "dimensions with one peak",
            "dimensions",
        ),
        says="Multi-modal by t-SNE; its marginal densities have one mode and differ from the prior's.",
    ),
    "k-ablation": PaperTable(
        "Steps K and temperature τ of the chain",
        "ptb",
        ("sri",),
        lambda limit: (measures.evaluation(EVALUATED),),
        ("ppl", "nll", "recon", "posterior-kl", "kl", "au", "permuted"),
        says="K = 10 led to posterior collapse; from 20 to 40 a slight gain, from 40 to 60 none. "
        "τ is 1 throughout.",
        differences=_LIKELIHOOD,
        varied=True,
    ),
    "cost": PaperTable(
        "What training took",
        "ptb",
        tuple(NAMES),
        lambda limit: (),
        ("epochs", "hours", "best after, hours", "tokens/s", "parameters"),
        says="SRI converges faster than SA-VAE and about like Lagging-VAE.",
    ),
}


def table_of(name: str) -> PaperTable:
    """Return a table by its name.

    Raises:
        UsageError: There is none.
    """
    if name not in TABLES:
        raise UsageError(f"no table {name!r}{suggestion(name, TABLES)}")
    return TABLES[name]


def variations(table: PaperTable, steps: tuple[int, ...], temperatures: tuple[float, ...]) -> list[Variation]:
    """Return how the runs of each method differ: not at all first, then in K alone, then in τ alone.

    Args:
        table: Where nothing is varied there is one variation, which is none.
        steps: Values of K.
        temperatures: Values of τ, constant in training, and the same at evaluation.
    """
    found = [Variation()]
    if table.varied:
        found += [Variation(f"k{k}", ("--langevin-steps", str(k))) for k in steps]
        found += [
            Variation(
                f"tau{tau:g}",
                ("--set", f"sampler.temperature={tau:g}", "--set", f"sampler.evaluation_temperature={tau:g}"),
            )
            for tau in temperatures
        ]
    return found
