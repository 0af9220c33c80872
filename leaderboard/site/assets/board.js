// Sorting, filtering and figures. Everything reads without this file.
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  document.documentElement.classList.add("scripted");

  // Numbers by value, text by the alphabet; what is missing comes last, whichever way.
  const keyOf = (row, column) => {
    const text = row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
    const number = text === "" ? NaN : Number(text);
    return { text: text.toLowerCase(), number, missing: text === "" || text === "nan" };
  };
  const compare = (a, b) =>
    Number.isNaN(a.number) || Number.isNaN(b.number)
      ? a.text.localeCompare(b.text, "en")
      : a.number - b.number;

  function sortBy(table, column, direction) {
    const body = table.tBodies[0];
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row, place) => ({ row, place, key: keyOf(row, column) }));
    rows.sort(
      (a, b) => a.key.missing - b.key.missing || sign * compare(a.key, b.key) || a.place - b.place,
    );
    body.append(...rows.map(({ row }) => row));
    for (const head of table.tHead.rows[table.tHead.rows.length - 1].cells) {
      head.removeAttribute("aria-sort");
      if (head.cellIndex === column) head.setAttribute("aria-sort", direction);
    }
  }

  for (const table of all("table.sortable")) {
    for (const button of all("thead button", table)) {
      button.addEventListener("click", () => {
        const head = button.closest("th");
        const now = head.getAttribute("aria-sort");
        const turned = now === "ascending" ? "descending" : "ascending";
        sortBy(table, head.cellIndex, now ? turned : button.dataset.first);
      });
    }
  }

  // Figures: plotly's, in the page's colours.
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();

  function draw(element, data) {
    if (!window.Plotly) return;
    drawn.set(element, data);
    const axis = { gridcolor: style("--line"), linecolor: style("--line"), zerolinecolor: style("--line") };
    const layout = structuredClone(data.layout);
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(name)) layout[name] = { ...axis, ...layout[name] };
    }
    const traces = structuredClone(data.data);
    for (const trace of traces) recolour(trace);
    for (const shape of layout.shapes ?? []) recolour(shape);
    for (const note of layout.annotations ?? []) recolour(note);
    if (layout.polar) recolour(layout.polar);
    const font = { family: style("font-family") || "system-ui, sans-serif", size: 12, color: style("--ink") };
    Plotly.react(element, traces, {
      margin: { l: 56, r: 16, t: 16, b: 48 },
      ...layout,
      autosize: true,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font,
      hoverlabel: { bgcolor: style("--card"), bordercolor: style("--line"), font },
    }, { responsive: true, displaylogo: false, displayModeBar: false, showSendToCloud: false });
  }

  // Colours are given by the names of the page's variables: "--ink".
  function recolour(part) {
    for (const [name, value] of Object.entries(part)) {
      if (typeof value === "string" && value.startsWith("--")) part[name] = style(value);
      else if (value && typeof value === "object") recolour(value);
    }
  }

  window.knowncircuits = Object.assign(window.knowncircuits ?? {}, { draw, sortBy });
  const drawAll = () => {
    for (const element of all("[data-figure]")) {
      draw(element, JSON.parse(document.getElementById(element.dataset.figure).textContent));
    }
  };
  addEventListener("DOMContentLoaded", drawAll);
  dark.addEventListener("change", () => drawn.forEach((data, element) => draw(element, data)));
  // Figures are links, too: a click on a point goes to its page.
  addEventListener("DOMContentLoaded", () => {
    for (const element of all("[data-figure]")) {
      element.on?.("plotly_click", ({ points }) => {
        const page = points[0].data.meta ?? points[0].customdata;
        if (typeof page === "string") location.href = page;
      });
    }
  });

  // The board and the list of cases: what is shown, and over what it is averaged.
  const form = document.querySelector("form.filters");
  const table = document.querySelector("#board, #cases");
  if (form && table) {
    const find = form.elements.find;
    const kinds = all("input[type=checkbox]", form);
    const show = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.dataset.text.toLowerCase();
        const wanted = words.every((word) => text.includes(word));
        row.hidden = !wanted || kinds.some((box) => !box.checked && row.classList.contains(box.name));
        n += !row.hidden;
      }
      const shown = document.getElementById("shown");
      if (shown) shown.textContent = `${n} of ${table.tBodies[0].rows.length} submissions`;
    };
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    if (table.id === "board") addEventListener("DOMContentLoaded", () => reslice(form, table, show));
  }

  // Other standings take the places of those in the page, which are the headline's.
  function reslice(form, table, show) {
    const known = window.knowncircuits.standings;
    if (!known) return;
    const rows = new Map([...table.tBodies[0].rows].map((row) => [row.dataset.id, row]));
    const score = (value) => (value === null ? "–" : value.toFixed(3));
    const place = (value) => Math.round((2 + Math.min(1, Math.max(0, value)) * 116) * 10) / 10;

    const fill = (cell, [value, low, high]) => {
      cell.dataset.v = value ?? "";
      cell.querySelector(".value").textContent = score(value);
      cell.querySelector(".between").textContent = low === null ? "" : `${score(low)}–${score(high)}`;
      cell.querySelector("svg")?.remove();
      if (value === null) return;
      const range = low === null ? "" : `<rect class="range" x="${place(low)}" y="3" width="${Math.max(1.5, place(high) - place(low))}" height="6" rx="2"/>`;
      const box = document.createElement("template");
      box.innerHTML = `<svg class="interval" viewBox="0 0 120 12" aria-hidden="true" preserveAspectRatio="xMinYMid"><path class="axis" d="M2 6H118M60 4v4"/>${range}<rect class="value" x="${place(value) - 1}" y="1" width="2" height="10" rx="1"/></svg>`;
      cell.append(box.content);
    };
    const put = () => {
      const slice = known.slices[form.elements.slice.selectedIndex >= 0 ? form.elements.slice.value : known.headline];
      const view = form.elements.view.value;
      for (const [i, low, high, auroc, precision, covered, passes, seconds] of slice.standings[view]) {
        const row = rows.get(known.ids[i]);
        const control = known.controls.includes(i);
        row.className = control ? "control" : covered === slice.models ? "" : "partial";
        const rank = row.querySelector(".rank");
        rank.dataset.v = low ?? "";
        rank.textContent = low === null ? "–" : low === high ? `${low}` : `${low}–${high}`;
        row.querySelector(".coverage").textContent = `${covered} of ${slice.models} models`;
        fill(row.querySelector(".auroc"), auroc);
        fill(row.querySelector(".ap"), precision);
        const costs = row.querySelectorAll(".cost");
        [passes, seconds].forEach((value, n) => {
          costs[n].dataset.v = value ?? "";
          costs[n].textContent = value === null ? "–" : short(value);
        });
        table.tBodies[0].append(row);
      }
      for (const head of all("thead th", table)) head.removeAttribute("aria-sort");
      document.getElementById("averaged").textContent = `Means over ${slice.text}`;
      show();
    };
    const short = (value) => (value > 0 && value < 0.001 ? "<0.001" : value >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3))));
    form.elements.slice.addEventListener("change", put);
    form.elements.view.addEventListener("change", put);
    // A browser that comes back to the page keeps what was chosen.
    if (form.elements.slice.value !== known.headline || form.elements.view.value !== "edge") put();
    show();
  }
})();
