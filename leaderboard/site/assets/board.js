// Sorting, filtering and figures. Everything reads without this file.
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  document.documentElement.classList.add("scripted");

  // Numbers by value, text by the alphabet; what is missing comes last, whichever way.
  const keyOf = (row, column) => {
    const text = row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
    const number = text === "" ? NaN : Number(text);
    return { text: text.toLowerCase(), number, missing: text === "" || text === "–" || text === "nan" };
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

  // What is sorted and filtered stands behind the address's #, as a=b&c=d, so that it can be sent.
  const asked = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  function remember(values) {
    const now = asked();
    for (const [name, value] of Object.entries(values)) {
      if (value === "" || value === null) now.delete(name);
      else now.set(name, value);
    }
    const text = now.toString();
    if (text !== asked().toString()) history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }

  // A table's order is that of its page, "sort=auroc" or "sort=-auroc", down from the highest.
  const tables = all("table.sortable");
  const parameter = (table) => `sort${tables.indexOf(table) || ""}`;
  const columnName = (head) => head.textContent.trim().toLowerCase();
  const sortable = (table) => [...table.tHead.rows[table.tHead.rows.length - 1].cells].filter((head) => head.querySelector("button"));
  const inPage = new Map(tables.map((table) => [table, [...table.tBodies[0].rows]]));

  function sortAsAsked() {
    for (const table of tables) {
      const text = asked().get(parameter(table)) ?? "";
      const head = sortable(table).find((cell) => columnName(cell) === text.replace(/^-/, ""));
      if (head) sortBy(table, head.cellIndex, text.startsWith("-") ? "descending" : "ascending");
    }
  }

  for (const table of tables) {
    for (const head of sortable(table)) {
      const button = head.querySelector("button");
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const turned = now === "ascending" ? "descending" : "ascending";
        const direction = now ? turned : button.dataset.first;
        sortBy(table, head.cellIndex, direction);
        remember({ [parameter(table)]: (direction === "descending" ? "-" : "") + columnName(head) });
      });
    }
  }

  // A table that is wider than the page says so, and keeps its first column in sight.
  for (const region of all(".scroll")) {
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.hidden = true;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "More columns →";
    hint.append(button);
    region.before(hint);
    const look = () => {
      const over = region.scrollWidth - region.clientWidth;
      const more = over > 1 && region.scrollLeft < over - 1;
      region.classList.toggle("more", more);
      region.classList.toggle("wide", over > 1);
      hint.hidden = over <= 1;
      button.textContent = more ? "More columns →" : "← Back to the first columns";
    };
    button.addEventListener("click", () => {
      const more = region.classList.contains("more");
      region.scrollTo({ left: more ? region.scrollLeft + 0.7 * region.clientWidth : 0 });
    });
    region.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(region);
    if (region.firstElementChild) new ResizeObserver(look).observe(region.firstElementChild);
  }

  for (const block of all("pre.copied")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(block.querySelector("code").textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(block.querySelector("code"));
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    block.append(button);
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
    if (data.wide && element.clientWidth >= data.wide.from) Object.assign(traces[0], data.wide.trace);
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

  window.knowncircuits = Object.assign(window.knowncircuits ?? {}, { draw, sortBy, asked, remember, sortAsAsked });
  const drawAll = () => {
    for (const element of all("[data-figure]")) {
      draw(element, JSON.parse(document.getElementById(element.dataset.figure).textContent));
    }
  };
  addEventListener("DOMContentLoaded", drawAll);
  const drawAgain = () => drawn.forEach((data, element) => draw(element, data));
  dark.addEventListener("change", drawAgain);
  addEventListener("resize", drawAgain);
  // Figures are links, too: a click on a point goes to its page.
  addEventListener("DOMContentLoaded", () => {
    for (const element of all("[data-figure]")) {
      element.on?.("plotly_click", ({ points }) => {
        const page = points[0].data.meta ?? points[0].customdata;
        if (typeof page === "string" && page.endsWith(".html")) location.href = page;
      });
      // Where lines have names, the one that is pointed at stands out.
      if (element.layout?.meta?.hover !== "lights") continue;
      const light = (name) => {
        for (const line of all(".scatterlayer .trace", element)) {
          line.style.opacity = name === undefined || line.__data__?.[0].trace.meta === name ? "" : 0.12;
        }
      };
      element.on("plotly_hover", ({ points }) => light(points[0].data.meta));
      element.on("plotly_unhover", () => light());
    }
  });

  // The board and the lists of cases and edges: what is shown, and over what it is averaged.
  const form = document.querySelector("form.filters");
  const table = document.querySelector("#board, #cases, #edges");
  if (form && table) {
    const find = form.elements.find;
    const kinds = all("input[type=checkbox]", form);
    const nothing = document.getElementById("nothing");
    // A division: the open one, or the closed one up to a budget; controls are always read beside.
    const within = (row) => {
      const division = form.elements.division?.value ?? "";
      if (division === "" || row.classList.contains("control")) return true;
      if (division === "open") return row.dataset.division === "open";
      return Number(row.dataset.budget ?? Infinity) <= Number(division);
    };
    const show = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.dataset.text.toLowerCase();
        const wanted = words.every((word) => text.includes(word));
        row.hidden = !wanted || !within(row) || kinds.some((box) => !box.checked && row.classList.contains(box.name));
        n += !row.hidden;
      }
      nothing.hidden = n > 0;
      const shown = document.getElementById("shown");
      if (shown) shown.textContent = `${n} of ${table.tBodies[0].rows.length} submissions`;
    };
    // What differs from how the page is without an address of its own.
    const usual = (choice) => [...choice.options].find((option) => option.defaultSelected)?.value ?? choice.options[0].value;
    const choices = all("select", form);
    const keep = () => {
      const values = { find: find.value };
      for (const box of kinds) values[box.name] = box.checked === box.defaultChecked ? "" : Number(box.checked);
      for (const choice of choices) values[choice.name] = choice.value === usual(choice) ? "" : choice.value;
      remember(values);
    };
    const restore = () => {
      const now = asked();
      find.value = now.get("find") ?? "";
      for (const box of kinds) box.checked = now.has(box.name) ? now.get(box.name) === "1" : box.defaultChecked;
      for (const choice of choices) {
        const value = now.get(choice.name);
        choice.value = [...choice.options].some((option) => option.value === value) ? value : usual(choice);
      }
    };
    form.addEventListener("input", () => { show(); keep(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    nothing.querySelector("button").addEventListener("click", () => {
      find.value = "";
      for (const box of kinds) box.checked = true;
      if (form.elements.division) form.elements.division.value = "";
      show();
      keep();
      find.focus();
    });
    addEventListener("DOMContentLoaded", () => {
      const put = table.id === "board" ? reslice(form, table) : () => table.tBodies[0].append(...inPage.get(table));
      const begin = () => { restore(); put(); sortAsAsked(); show(); };
      for (const choice of choices) {
        choice.addEventListener("change", () => { put(); remember({ [parameter(table)]: "" }); show(); });
      }
      addEventListener("hashchange", begin);
      begin();
    });
  } else {
    addEventListener("DOMContentLoaded", sortAsAsked);
  }

  // Other standings take the places of those in the page, which are the headline's.
  function reslice(form, table) {
    const known = window.knowncircuits.standings;
    if (!known) return () => {};
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
          costs[n].querySelector(".value").textContent = value === null ? "–" : short(value);
        });
        table.tBodies[0].append(row);
      }
      for (const head of all("thead th", table)) head.removeAttribute("aria-sort");
      document.getElementById("averaged").textContent = `Means over ${slice.text}`;
    };
    const short = (value) => (value > 0 && value < 0.001 ? "<0.001" : value >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3))));
    return put;
  }
})();
