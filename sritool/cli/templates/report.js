"use strict";
(() => {
  const page = JSON.parse(document.getElementById("report-data").textContent);
  const config = (id) => ({
    responsive: true,
    displaylogo: false,
    doubleClick: "reset",
    displayModeBar: id === "map", // the charts of training have no room for one
    modeBarButtons: [["zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
  });

  // Text follows the page between light and dark; lines and points are chosen to show on both.
  function colours(printed) {
    const style = getComputedStyle(document.documentElement);
    const read = (name, light) => (printed ? light : style.getPropertyValue(name).trim());
    return { ink: read("--ink", "#1b1d1f"), raised: read("--raised", "#f5f6f7"), rule: read("--rule", "#d5d9dc") };
  }
  function themed(printed) {
    const { ink, raised, rule } = colours(printed);
    return {
      "font.color": ink,
      "hoverlabel.bgcolor": raised,
      "hoverlabel.bordercolor": rule,
      "hoverlabel.font.color": ink,
      "modebar.color": ink,
      "modebar.activecolor": ink,
    };
  }

  const font = { family: getComputedStyle(document.body).fontFamily, size: 13 };
  const drawn = Object.entries(page.charts).map(([id, chart]) => {
    const { ink, raised, rule } = colours(false);
    const layout = {
      ...chart.layout,
      font: { ...font, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: raised, bordercolor: rule, font: { ...font, color: ink }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: ink, activecolor: ink },
    };
    const place = document.getElementById(id);
    Plotly.newPlot(place, chart.data, layout, config(id));
    return place;
  });
  const recolour = (printed) => drawn.forEach((place) => Plotly.relayout(place, themed(printed)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => recolour(false));
  // Paper is narrower than the window that the charts were drawn for, and no chart hears of it.
  const onPaper = { map: [620, 560], control: [320, 320] };
  addEventListener("beforeprint", () => {
    recolour(true);
    drawn.forEach((place) => {
      const [width, height] = onPaper[place.id] || [330, 260];
      Plotly.relayout(place, { width, height });
    });
  });
  addEventListener("afterprint", () => {
    recolour(false);
    drawn.forEach((place) => Plotly.relayout(place, { width: null, height: null, autosize: true }));
  });

  const search = document.getElementById("search");
  if (!search) return;
  const LISTED = 10;
  const plain = (text) => text.normalize("NFC").toLowerCase();
  const sentences = page.sentences.map((text) => {
    const words = plain(text).split(/\s+/u);
    return words.concat(words.map((word) => word.replace(/^[^\p{L}\p{N}]+/u, "")));
  });
  // Scripts that part no words by spaces are searched anywhere.
  const unparted = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]/u;
  const has = (words, start) =>
    words.some((word) => (unparted.test(start) ? word.includes(start) : word.startsWith(start)));

  const map = document.getElementById("map");
  const count = document.getElementById("count");
  const matches = document.getElementById("matches");
  function find() {
    const starts = plain(search.value).split(/\s+/u).filter(Boolean);
    const found = sentences.map((words) => starts.every((start) => has(words, start)));
    const rows = found.flatMap((is, row) => (is ? [row] : []));
    const chosen = map.data.map((trace) =>
      starts.length ? trace.customdata.flatMap((row, point) => (found[row] ? [point] : [])) : null);
    Plotly.restyle(map, { selectedpoints: chosen });
    count.textContent = starts.length ? `${rows.length} of ${sentences.length}` : "";
    matches.hidden = !starts.length || !rows.length;
    matches.replaceChildren(...(starts.length ? rows.slice(0, LISTED) : []).map((row) => {
      const item = document.createElement("li");
      const text = document.createElement("bdi");
      text.textContent = page.sentences[row];
      item.append(text);
      return item;
    }));
    if (starts.length && rows.length > LISTED) {
      const more = document.createElement("li");
      more.className = "more";
      more.textContent = `and ${rows.length - LISTED} more`;
      matches.append(more);
    }
  }
  search.addEventListener("input", find);
  if (search.value) find(); // a browser may keep it over a reload
})();
