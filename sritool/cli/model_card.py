"""The model card of a model on the hub: README.md, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sritool._version import __version__
from sritool.cli.formats import Table, lines_of
from sritool.cli.tables.figures import shown, with_error
from sritool.methods.registry import METHODS

if TYPE_CHECKING:
    from sritool.analysis.model_card import CardFacts

VALIDATION = ("nll", "posterior-kl", "recon", "permuted")


def render(facts: CardFacts, name: str, license_name: str | None) -> str:
    """Return the model card of `name` (user/name on the hub); without a licence, it names none."""
    tags = ["text-generation", "latent-variable-model", "lstm", facts.checkpoint.config.method]
    tags += ["short-run-inference"] if METHODS[facts.checkpoint.config.method].has_chain else []
    lines = ["library_name: sritool", *([f"license: {license_name}"] if license_name else []), "tags:"]
    for_the_hub = "\n".join(["---", *lines, *(f"- {tag}" for tag in tags), "---"])
    return "\n\n".join(part.strip("\n") for part in (for_the_hub, *body(facts, name)) if part) + "\n"


def body(facts: CardFacts, name: str) -> Iterator[str]:
    """Yield the paragraphs."""
    config, corpus = facts.checkpoint.config, facts.checkpoint.corpus
    latent = config.generator.latent
    with_z = f", with a latent vector z of {latent} dimensions," if latent else ", without a latent vector,"
    yield f"# {name}"
    yield (
        f"An LSTM generator of single sentences{with_z} trained on the corpus {_code(corpus.name)} by the method "
        f"`{config.method}` of sritool {__version__}. It has {facts.parameters:,} parameters."
    )
    yield "## Use"
    yield "With sritool installed:"
    yield f"```sh\n{commands(name, latent)}\n```"
    yield f"```python\n{python(name, latent)}\n```"
    yield text_form(facts)
    yield "## Figures"
    yield from figures(facts)
    yield "## Training"
    yield from training(facts)
    yield "## Limits"
    yield "\n".join(f"- {limit}" for limit in limits(facts))


def commands(name: str, latent: int) -> str:
    """Return example commands."""
    lines = [f"sritool sample hf://{name}", f"echo 'a sentence .' | sritool score hf://{name}"]
    if latent:
        lines += [
            f"sritool interpolate hf://{name}",
            f"echo 'a sentence .' | sritool encode hf://{name} | sritool decode hf://{name}",
        ]
    return "\n".join(lines)


def python(name: str, latent: int) -> str:
    """Return the same examples in Python."""
    lines = ["import sritool", "", f'model = sritool.load("hf://{name}")', "model.sample(5)"]
    lines += ['model.decode(model.encode(["a sentence ."]))'] if latent else []
    return "\n".join([*lines, 'model.log_likelihood(["a sentence ."])  # nats'])


def text_form(facts: CardFacts) -> str:
    """Return how the model reads text."""
    corpus, kind = facts.checkpoint.corpus, facts.checkpoint.tokenizer.kind
    units = "Words are separated by spaces" if kind == "word" else f"Text is cut into pieces ({kind})"
    more = ["text is lowercased"] if corpus.lowercase else []
    more += ["punctuation is cut off the words"] if corpus.split_punctuation else []
    more.append(f"sentences are cut at {corpus.max_length} tokens")
    return f"{units}; {', '.join(more)}. The model does this itself."


def figures(facts: CardFacts) -> Iterator[str]:
    """Yield the figures on record with their standard errors, and those of the last validation."""
    of = f" of {facts.total:,}" if facts.total else ""
    columns = ("metric", "value ± se", "unit", "sentences", "estimator")
    rows = [(e.metric, shown(e), e.unit, f"{e.sentences:,}{of}", e.estimator) for e in facts.estimates]
    if rows:
        table = Table("", columns, rows)
        yield f"On {_code(facts.data)}, by `sritool evaluate`; standard errors are over sentences."
        yield "".join(lines_of(table, "markdown"))
        yield "\n".join(f"- {note}" for note in facts.notes)
    else:
        yield "No evaluation of these weights is on record."
    last = {name: value for name, value in facts.validated.items() if isinstance(value, float)}
    validated = [
        f"{name} {with_error(last[name], last.get(f'{name} se', math.nan))}"
        for name in VALIDATION
        if name in last
    ]
    if validated:
        yield f"At its last validation, in nats per sentence: {', '.join(validated)}."
    if facts.uses_z is not None and facts.collapsed:
        yield f"**Is z used?** {facts.collapsed[:1].upper()}{facts.collapsed[1:]}."
    elif facts.uses_z is not None:
        yield (
            "**Is z used?** Yes: with another sentence's z in place of its own, the reconstruction loss of a "
            "sentence rises by more than 0.1 nats and two standard errors (`permuted`)."
        )


def training(facts: CardFacts) -> Iterator[str]:
    """Yield how the model was trained."""
    config, progress, corpus = facts.checkpoint.config, facts.checkpoint.progress, facts.checkpoint.corpus
    yield f"```sh\nsritool train NAME --config config.toml   # NAME: the corpus {corpus.name}\n```"
    generator = config.generator
    sizes = f"embedding {generator.embedding}, hidden {generator.hidden}, z {generator.latent}"
    splits = ", ".join(f"{count:,} {name}" for name, count in facts.sentences.items())
    words = len(facts.checkpoint.tokenizer)
    rows: list[tuple[str, object]] = [
        ("method", config.method),
        *([("recipe", config.recipe)] if config.recipe else []),
        ("sizes", sizes),
        ("corpus", f"{corpus.name}, content {corpus.content_hash[:12]}"),
        *([("sentences", splits)] if splits else []),
        ("vocabulary", f"{words:,} {unit_of(facts)}, including <unk>, <pad>, <s> and </s>"),
        ("epochs", f"{progress.epoch} of {config.training.epochs} planned"),
        ("updates", progress.step),
        ("seconds of training", round(progress.seconds)),
        ("seed", config.training.seed),
    ]
    yield "".join(lines_of(Table("", ("what", "value"), rows), "markdown"))
    yield "All settings are in `config.toml`."


def limits(facts: CardFacts) -> Iterator[str]:
    """Yield what the model cannot do, and what its files contain."""
    yield (
        "It reproduces its corpus, including the errors and prejudices; what it generates may be false, "
        "and is not checked."
    )
    yield "It generates single sentences; it cannot hold a dialogue, follow instructions or write longer text."
    if facts.checkpoint.tokenizer.kind == "word":
        yield "A word outside its vocabulary is read as `<unk>`, which it can also generate."
    yield (
        f"The training text is not in this repository, but its vocabulary is: the {unit_of(facts)} are in `best.pt`."
    )
    if facts.checkpoint.corpus.name == "tiny":
        yield "The corpus is English text generated by a grammar that comes with sritool, under its licence (MIT)."
    else:
        yield "The program that wrote this page does not know the language and licence of the corpus."


def unit_of(facts: CardFacts) -> str:
    """Return what the vocabulary is made of: words or pieces."""
    return "words" if facts.checkpoint.tokenizer.kind == "word" else "pieces"


def _code(text: object) -> str:
    return f"`{str(text).replace('`', '')}`"
