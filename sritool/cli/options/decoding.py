"""How codes are decoded into sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from sritool.cli.formats import Table
from sritool.cli.render import emit_parts
from sritool.cli.signatures import in_panel
from sritool.cli.streams import announce_stdin
from sritool.errors import UsageError

if TYPE_CHECKING:
    from sritool.model.decoding import DecodingConfig
    from sritool.runs.model import Decoded, Floats, TrainedModel

decoding_option = in_panel("Decoding")
FEW = 512  # sentences decoded before a progress bar could be read


def given_codes(model: TrainedModel, source: str) -> Floats:
    """Return the codes in a file, or - for stdin. Raises: UsageError for a model without z, DataError."""
    from sritool.analysis.codes import read_codes

    model.require_latent("decode codes")
    announce_stdin(source, "codes, numbers separated by spaces")
    return read_codes(source, model.latent)


@dataclass(frozen=True)
class DecodingOptions:
    """The options that sample, interpolate and decode share.

    Attributes:
        greedy: Take the likeliest next word, or draw one. [default: greedy; ancestral with one of the next three
            options, and for a model without z]
        temperature: Draw from the words' probabilities sharpened (below 1) or flattened (above). [default: 1]
        top_k: Draw among the k likeliest words. [default: all]
        top_p: Draw among the fewest words whose probabilities add up to this. [default: 1]
        beam: Beam search for the likeliest sentence with this many hypotheses; 1 is greedy. [default: 1]
        max_length: Longest sentence, in tokens without </s>.
        no_unk: Never choose <unk>: the other words share its probability.
    """

    greedy: Annotated[bool | None, decoding_option("--greedy/--ancestral")] = None
    temperature: Annotated[float | None, decoding_option()] = None
    top_k: Annotated[int | None, decoding_option(min=1)] = None
    top_p: Annotated[float | None, decoding_option()] = None
    beam: Annotated[int | None, decoding_option(min=1)] = None
    max_length: Annotated[int, decoding_option(min=1)] = 200
    no_unk: Annotated[bool, decoding_option("--no-unk")] = False

    def config(self) -> DecodingConfig:
        """Return the decoding settings: greedy, unless --ancestral or an option that draws words is given.

        Raises:
            UsageError: The options contradict each other, or a value is invalid.
        """
        from sritool.model.decoding import DecodingConfig

        asked: dict[str, Any] = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        drawn = {name: value for name, value in asked.items() if value is not None}
        first = next((f"--{name.replace('_', '-')}" for name in drawn), None)
        if self.beam is not None:
            against = {True: "--greedy", False: "--ancestral", None: first}[self.greedy]
            if against:
                raise UsageError(f"--beam searches for the likeliest sentence; leave it or {against} out")
        if self.greedy and first:
            raise UsageError(f"{first} is for ancestral decoding; leave it or --greedy out")
        greedy = not drawn if self.greedy is None else self.greedy
        beam, longest = self.beam or 1, self.max_length
        return DecodingConfig(greedy=greedy, beam=beam, max_length=longest, no_unk=self.no_unk, **drawn)

    def table(self, name: str, found: Sequence[Decoded], form: str, notes: Sequence[str] = ()) -> Table:
        """Return sentences and whether each ended; in the format `plain` the sentences alone."""
        note = "\n".join(filter(None, [*notes, self.cut_note(found)]))
        if form == "plain":
            return Table("", (name,), [[sentence.text] for sentence in found], note)
        return Table("", (name, "ended"), found, note)

    def emit_parts(self, name: str, parts: Iterable[Sequence[Decoded]], form: str) -> list[Decoded]:
        """Print sentences for programs as they are decoded, and return those that were decoded."""
        found: list[Decoded] = []

        def tables() -> Iterator[Table]:
            for part in parts:
                found.extend(part)
                yield self.table(name, part, form)

        emit_parts(tables(), form)
        return found

    def cut_note(self, found: Sequence[Decoded]) -> str:
        """Return how many sentences were cut before their end; "" if none was."""
        cut = sum(not sentence.ended for sentence in found)
        return f"{cut:,} of {len(found):,} sentences are cut at --max-length {self.max_length}" if cut else ""
