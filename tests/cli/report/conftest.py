"""A made-up report in which every text is an injection attempt, and its page parsed and rendered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sritool.analysis.figures_on_record import Figures
from sritool.analysis.report import Map, Request, RunReport
from sritool.analysis.training_cost import Training
from sritool.analysis.training_curves import Point
from sritool.config.settings import RunConfig
from sritool.data.corpus_info import CorpusInfo, SplitInfo
from sritool.evaluation.metrics import Estimate

HOSTILE = (
    "<script>window.broken = 1</script> a heron",
    "</script><script>window.broken = 2</script> two herons",
    "<img src=x onerror=window.broken=3> otter",
    "<!-- <script> an otter --> ]]>",
    "{{ 7 * 7 }} {% raw %} {# kettle #}",
    "<b>not bold</b> <a href='javascript:window.broken=4'>no link</a> <br> kettle",
    "quotes \" ' ` and \\ and &lt; and &amp;amp; <sup>up</sup>",
    "a line\u2028and another\u2029end here",
    "nul \x00 bell \x07 escape \x1b[31m",
    "a duck 🦆 and a crew 👩‍🚒",
    "שלום \u202eotter שלום",
    "half a pair \ud83e and \udcff",
    "%{x} %{customdata} $x^2$ mason",
    "javascript:window.broken=5",
)
MADE = "2001-02-03 04:05 UTC"


@pytest.fixture
def hostile() -> RunReport:
    """A report whose texts are all hostile; its 14 sentences have two hostile labels."""
    count = len(HOSTILE)
    places = np.random.default_rng(0).normal(size=(2, count, 2)) * 20
    split = SplitInfo(count, 60, 60, 74, 0, 0, 0, 0, 0, 0, 9)
    options = (False, False, False)
    labels = (HOSTILE[0], HOSTILE[5])
    info = CorpusInfo(HOSTILE[1], "", "word", 40, 200, 1, None, *options, labels, (), {"test": split}, "")
    estimates = [
        Estimate("ppl", 23.456, 1.234, "per token", count, 100, "adaptive"),
        Estimate("recon", 29.801, 0.75, "nats/sentence", count, 2, HOSTILE[2]),
    ]
    curves = [
        Point("run", metric, float(epoch), 10 * epoch, 50.0 - epoch, 0.5)
        for metric in ("nll", "recon", "posterior-kl", "permuted", "au")
        for epoch in (1, 2, 3)
    ]
    return RunReport(
        run=HOSTILE[0],
        path=Path(HOSTILE[2].replace("/", "")) / HOSTILE[11] / "best.pt",
        posterior="tempered chain",
        config=RunConfig(),
        corpus=info,
        tokenizer="word",
        training=Training(1234, 99.0, 61.0, 3, 3, count, count, ""),
        steps=30,
        epoch=3,
        written=0.0,
        version="0.0",
        data=HOSTILE[1],
        total=count,
        figures=[Figures(None, estimates, [HOSTILE[5]])],
        notes=[HOSTILE[5]],
        curves=[*curves, Point("run", "train recon", 0.5, 5, 60.0, None)],
        samples=list(HOSTILE),
        interpolation=[HOSTILE[0], HOSTILE[0], HOSTILE[4]],
        reconstructions=[(text, text) for text in HOSTILE],
        map=Map(
            places[0],
            places[1],
            list(range(1, count + 1)),
            [labels[i % 2] for i in range(count)],
            list(HOSTILE),
            count,
        ),
        left_out={},
        request=Request(seed=3, data_dir=Path(HOSTILE[4])),
    )


@pytest.fixture
def by_length(hostile: RunReport) -> RunReport:
    """The same report without labels."""
    assert hostile.map is not None
    return replace(hostile, map=hostile.map._replace(labels=None))


class Parsed(HTMLParser):
    """A parsed page: its elements with their attributes, and the text of each element by tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data

    def attributes(self, name: str) -> list[str | None]:
        return [own[name] for _, own in self.elements if name in own]

    def of(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [own for kind, own in self.elements if kind == tag and wanted.items() <= own.items()]


@pytest.fixture
def parse() -> Callable[[str], Parsed]:
    return Parsed


@pytest.fixture
def render() -> Callable[..., str]:
    """Render a report as a page dated MADE, with some of its fields changed."""
    from sritool.cli.report.page import render as render_page

    def make(found: RunReport, made: str = MADE, **changes: Any) -> str:
        return render_page(replace(found, **changes), made)

    return make
