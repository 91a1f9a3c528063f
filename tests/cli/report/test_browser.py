"""The page in headless Chromium without a network; skipped where there is no Chromium."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sritool.analysis.report import RunReport
from sritool.cli.printable import visible

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 240  # the limit for one page on a busy machine

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

# Comes before the page's policy, records every error, and acts like a reader once all is drawn.
PROBE = """<script>
const problems = [];
addEventListener("error", (event) => problems.push(event.message || "a resource failed"), true);
addEventListener("unhandledrejection", (event) => problems.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => problems.push("policy: " + event.violatedDirective));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));  // in virtual time
addEventListener("load", async () => {
  const found = { hovers: {} };
  const map = document.getElementById("map");
  found.wide = document.documentElement.scrollWidth - innerWidth;
  for (const [curve, trace] of map.data.entries()) {
    for (const [point, row] of trace.customdata.entries()) {
      Plotly.Fx.hover(map, [{ curveNumber: curve, pointNumber: point }]);
      await pause(100);
      const lines = [...map.querySelectorAll(".hoverlayer .hovertext text tspan.line")];
      found.hovers[row] = lines.length
        ? lines.map((line) => line.textContent).join(" ")
        : map.querySelector(".hoverlayer .hovertext").textContent;
    }
  }
  found.links = map.querySelectorAll("a[href]").length + map.querySelectorAll("img").length;

  const search = document.getElementById("search");
  search.value = "HERON";
  search.dispatchEvent(new Event("input"));
  await pause(100);
  found.count = document.getElementById("count").textContent;
  found.matches = [...document.querySelectorAll("#matches li")].map((item) => item.textContent);
  found.selected = map.data.flatMap((trace) => trace.selectedpoints.map((point) => trace.customdata[point]));
  const faint = [...map.querySelectorAll("path.point")].filter((dot) => Number(getComputedStyle(dot).opacity) < 0.5);
  found.faint = faint.length;

  const range = () => map.layout.xaxis.range.map(Number);
  found.before = range();
  const box = map.querySelector(".nsewdrag").getBoundingClientRect();
  const mouse = (type, x, y) => {
    const cover = document.querySelector(".dragcover") || document;  // absent on a machine without a mouse
    const target = type === "mousedown" ? map.querySelector(".nsewdrag") : cover;
    const place = { clientX: box.left + x * box.width, clientY: box.top + y * box.height };
    target.dispatchEvent(new MouseEvent(type, { bubbles: true, cancelable: true, view: window, ...place }));
  };
  mouse("mousedown", 0.25, 0.25);
  mouse("mousemove", 0.5, 0.5);
  mouse("mousemove", 0.75, 0.75);
  mouse("mouseup", 0.75, 0.75);
  await pause(1000);
  found.zoomed = range();
  for (const _ of [1, 2]) {
    mouse("mousedown", 0.5, 0.5);
    mouse("mouseup", 0.5, 0.5);
    await pause(100);
  }
  await pause(1000);
  found.reset = range();
  found.problems = problems;
  found.broken = window.broken ?? null;
  parent.postMessage(JSON.stringify(found), "*");
});
</script>"""
# A frame as narrow as a telephone; Chromium's windows cannot be that narrow.
FRAME = """<!DOCTYPE html><body><iframe src="page.html" width="400" height="900"></iframe><pre id="found"></pre>
<script>addEventListener("message", (event) => { document.getElementById("found").textContent = event.data; });
</script></body>"""


def opened(path: Path, profile: Path, milliseconds: int) -> str:
    """Return the document after its scripts have run for so long in virtual time."""
    assert CHROMIUM is not None
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    switches = (
        *("--headless", *sandbox, "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", "--window-size=1400,1000"),
        *(f"--virtual-time-budget={milliseconds}", "--dump-dom"),
    )
    command = [CHROMIUM, *switches, path.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
    return done.stdout.decode()


def test_each_sentence_is_a_point(hostile: RunReport, render: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(render(hostile), encoding="utf-8")
    seen = points_in(opened(tmp_path / "page.html", tmp_path / "profile", 3_000))
    validated = {f"curve-{number}": 3 for number in range(2, 5)}
    assert seen == {"map": 14, "control": 14, "curve-0": 6, "curve-1": 1} | validated


def points_in(document: str) -> dict[str, int]:
    """Return the number of points drawn in each chart."""
    parts = re.split(r'<div class="chart[^"]*" id="([^"]+)"', document)
    return {
        name: len(re.findall(r'<path class="point[ "]', content))
        for name, content in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_reader_hovers_searches_and_zooms(
    hostile: RunReport, render: Callable[..., str], tmp_path: Path
) -> None:
    page = render(hostile).replace('<meta charset="utf-8">', '<meta charset="utf-8">' + PROBE, 1)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME, encoding="utf-8")
    document = opened(tmp_path / "frame.html", tmp_path / "profile", 10_000)
    (text,) = re.findall(r'<pre id="found">(.*?)</pre>', document, re.DOTALL)
    found = json.loads(html.unescape(text))
    assert found["problems"] == []
    assert found["broken"] is None  # every hostile script sets it
    assert found["wide"] <= 0  # no horizontal scrolling
    assert hostile.map is not None
    for row, sentence in enumerate(hostile.samples):
        label, length = hostile.map.labels[row], hostile.map.lengths[row]  # type: ignore[index]
        wanted = f"{visible(sentence)} ({visible(label)}, {length} tokens)"
        assert found["hovers"][str(row)].split() == wanted.split()
    assert found["links"] == 0
    assert found["count"] == "2 of 14"
    assert sorted(found["selected"]) == [0, 1]
    assert found["matches"] == [visible(text) for text in hostile.samples[:2]]
    assert found["faint"] == 12
    whole, part = (high - low for low, high in (found["before"], found["zoomed"]))
    assert part == pytest.approx(whole / 2, rel=0.1)
    assert found["reset"] == pytest.approx(found["before"])
