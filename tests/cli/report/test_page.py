"""The page of a report: its content, no markup from hostile text, accessibility, and no external resources."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sritool.analysis.figures_on_record import Figures
from sritool.analysis.report import RunReport
from sritool.cli.printable import visible
from sritool.cli.report.charts import curve_charts, literal, map_chart
from sritool.cli.report.page import commands, head_rows
from sritool.config.settings import RunConfig
from sritool.evaluation.metrics import Estimate

OWN_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "bdi", "nav", "a", "main"),
    *("section", "dl", "div", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "ol"),
    *("noscript", "figure", "figcaption", "details", "summary", "label", "input", "output", "code", "span"),
    "script",
}
TEMPLATES = Path(__file__).parents[3] / "sritool" / "cli" / "templates"


@pytest.fixture
def page(hostile: RunReport, render: Callable[..., str]) -> str:
    return render(hostile)


def test_hostile_text_does_not_become_markup(page: str, parse: Any) -> None:
    parsed = parse(page)
    assert {tag for tag, _ in parsed.elements} <= OWN_TAGS
    names = {name for _, own in parsed.elements for name in own}
    assert not any(name.startswith("on") or name in ("src", "srcset", "style", "action") for name in names)
    kinds = [own.get("type") for own in parsed.of("script")]
    assert kinds == ["application/json", None, None]
    assert (TEMPLATES / "report.js").read_text(encoding="utf-8") == parsed.texts["script"][2]


def test_every_sentence_is_shown_literally(page: str, parse: Any, hostile: RunReport) -> None:
    shown = parse(page).texts["bdi"]
    for text in hostile.samples:
        # once as a sample, twice in its reconstruction
        assert shown.count(visible(text)) >= 3


def test_embedded_json_is_ascii_without_tags(page: str, parse: Any) -> None:
    text = parse(page).texts["script"][0]
    assert text.isascii()
    assert not re.search("[<>&]", text)


def test_data_has_each_sentence_at_its_point(page: str, parse: Any, hostile: RunReport) -> None:
    data = json.loads(parse(page).texts["script"][0])
    assert data["sentences"] == [visible(text) for text in hostile.samples]
    traces = data["charts"]["map"]["data"]
    rows = [row for trace in traces for row in trace["customdata"]]
    assert sorted(rows) == list(range(len(data["sentences"])))
    assert hostile.map is not None
    for trace in traces:
        for point, row in enumerate(trace["customdata"]):
            assert trace["x"][point] == pytest.approx(hostile.map.places[row, 0], abs=5e-4)
            assert trace["y"][point] == pytest.approx(hostile.map.places[row, 1], abs=5e-4)
            assert trace["name"] == literal(hostile.map.labels[row])  # type: ignore[index]
            hover = html.unescape(trace["hovertext"][point].replace("<br>", " "))
            assert hover.split()[:-2] == [
                *data["sentences"][row].split(),
                *f"({visible(hostile.map.labels[row])},".split(),  # type: ignore[index]
            ]


def test_charts_contain_no_plotly_markup(hostile: RunReport, by_length: RunReport) -> None:
    for found in (hostile, by_length):
        assert found.map is not None
        texts = [value for trace in map_chart(found.map)["data"] for value in trace["hovertext"]]
        texts += [trace["name"] for trace in map_chart(found.map)["data"] if "name" in trace]
        assert not [text for text in texts if re.search("<(?!br>)", text)]


@pytest.mark.parametrize("labelled", [True, False])
def test_plotly_knows_every_property_of_the_charts(
    labelled: bool, hostile: RunReport, by_length: RunReport
) -> None:
    from plotly.graph_objects import Figure

    found = hostile if labelled else by_length
    assert found.map is not None
    charts = [map_chart(found.map), *(chart for _, chart in curve_charts(found.curves, 4, 3))]
    assert len(charts) == 6
    for chart in charts:
        Figure(chart)  # raises ValueError for an unknown property


def test_page_loads_nothing_and_links_nowhere(page: str, parse: Any) -> None:
    parsed = parse(page)
    ids = {own["id"] for _, own in parsed.elements if "id" in own}
    assert all(target is not None and target[1:] in ids for target in parsed.attributes("href"))
    assert {target[0] for target in parsed.attributes("href") if target} == {"#"}
    assert not parsed.of("link") + parsed.of("img") + parsed.of("iframe") + parsed.of("base")
    assert not re.search(r"url\(|@import|https?:", parsed.texts["style"][0])
    assert not re.search(r"https?:|fetch|XMLHttp|import\(", parsed.texts["script"][2])


def test_policy_allows_only_own_scripts(page: str, parse: Any) -> None:
    parsed = parse(page)
    (policy,) = (own["content"] for own in parsed.of("meta", **{"http-equiv": "Content-Security-Policy"}))
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    allowed = rules["script-src"].split()
    for text in parsed.texts["script"][1:]:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in allowed
    assert len(allowed) == 2
    assert not re.search(r"https?:|\*|unsafe-eval", policy)


def test_accessible_names_and_headings(page: str, parse: Any) -> None:
    parsed = parse(page)
    assert len(parsed.of("h1")) == 1
    ids = {own["id"] for _, own in parsed.elements if "id" in own}
    for _, own in parsed.elements:
        for name in ("aria-labelledby", "for", "aria-describedby"):
            assert set((own.get(name) or "").split()) <= ids
    assert all(own.get("scope") in ("col", "row") for own in parsed.of("th"))
    assert all("aria-labelledby" in own for own in parsed.of("figure") + parsed.of("section"))
    assert parsed.of("html", lang="en")


def test_commands_are_quoted_for_the_shell(hostile: RunReport) -> None:
    shown = {part: shlex.split(" ".join(words)) for part, words in commands(hostile)}
    run = str(hostile.path.parent)
    assert shown["This page"] == [
        *("sritool", "report", run, "--seed", "3", "--data-dir", str(hostile.request.data_dir)),
        *("-o", "report.html"),
    ]
    assert shown["Samples"] == ["sritool", "sample", run, "-n", "500", "--seed", "3"]
    assert shown["Metrics"][3:5] == ["--metrics", "ppl,recon"]
    assert "A map of single draws" not in shown  # 14 sentences are too few
    assert hostile.map is not None
    more = dict(commands(replace(hostile, map=hostile.map._replace(of=20))))
    assert more["A map of single draws"][1:3] == ["plot", "latent"]


def test_head_describes_the_run(hostile: RunReport) -> None:
    rows = dict(head_rows(hostile))
    assert rows["Epochs"] == "3 of 3 done in 1:01; this checkpoint after 3 (30 updates)"
    assert rows["Saved"] == "1970-01-01 00:00 UTC"
    assert rows["Corpus"].endswith(": 14 test sentences")
    assert "Trained on" not in rows


def test_parts_that_need_z_are_replaced_by_one_line(hostile: RunReport, render: Any, parse: Any) -> None:
    why = "method lm has no z"
    none = dict.fromkeys(("interpolation", "reconstructions", "map"))
    left_out = dict.fromkeys(("metrics of z", *none), why)
    parsed = parse(render(hostile, config=RunConfig(method="lm"), **none, left_out=left_out))
    assert len([text for text in parsed.texts["p"] if text.endswith(f"not here: {why}.")]) == 4
    assert not parsed.of("input")
    assert "map" not in json.loads(parsed.texts["script"][0])["charts"]


@pytest.mark.parametrize(("permuted", "ignored"), [(0.01, True), (5.0, False)])
def test_map_of_a_model_that_ignores_z(
    permuted: float, ignored: bool, hostile: RunReport, render: Any, parse: Any
) -> None:
    measured = Estimate("permuted", permuted, 0.02, "nats/sentence", 14, 2, "")
    page = parse(render(hostile, figures=[Figures(None, [measured], [])]))
    assert sum("the doing of the chain alone" in text for text in page.texts["p"]) == ignored
    assert sum("means lie closer together than draws" in text for text in page.texts["p"]) == 1


def test_repeated_sentences_of_an_interpolation_are_marked(page: str, parse: Any) -> None:
    assert len(parse(page).of("tr", **{"class": "repeated"})) == 1
