// Any two methods, case by case; which ones is in the address: #a=ID&b=ID.
addEventListener("DOMContentLoaded", () => {
  "use strict";
  const { comparison, draw, sortBy, asked: inAddress, remember, sortAsAsked } = window.knowncircuits;
  const form = document.querySelector("form.filters");
  const facts = document.getElementById("facts");
  const table = document.getElementById("differences");
  const index = new Map(comparison.methods.map(({ id }, i) => [id, i]));
  const score = (value) => (value === null ? "–" : value.toFixed(3));
  const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(3);
  const chance = (p) => (p < 0.001 ? p.toExponential(1) : p.toFixed(3));
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  function read() {
    const asked = inAddress();
    const first = comparison.first;
    for (const [i, name] of ["a", "b"].entries()) {
      const id = asked.get(name);
      form.elements[name].value = index.has(id) ? id : comparison.methods[first[i]]?.id ?? "";
    }
    form.elements.value.value = asked.get("value") === "average_precision" ? "average_precision" : "auroc";
    form.elements.cases.value = asked.get("cases") === "all" ? "all" : "structural";
    show();
  }

  function show() {
    const [a, b] = ["a", "b"].map((name) => index.get(form.elements[name].value));
    if (a === undefined || b === undefined) return;
    const value = form.elements.value.value;
    const [one, other] = [comparison[value][a], comparison[value][b]];
    const all = form.elements.cases.value === "all";
    const rows = comparison.cases
      .slice(0, all ? undefined : comparison.n_structural)
      .map((name, i) => ({ name, x: one[i], y: other[i] }))
      .filter(({ x, y }) => x !== null && y !== null);
    const [titleA, titleB] = [a, b].map((i) => comparison.methods[i].title);
    table.tHead.rows[0].cells[1].querySelector("button").textContent = titleA;
    table.tHead.rows[0].cells[2].querySelector("button").textContent = titleB;
    table.tBodies[0].replaceChildren(
      ...rows.map(({ name, x, y }) => {
        const row = document.createElement("tr");
        const head = element("th", "", { scope: "row", "data-v": name });
        head.append(element("a", name, { href: `cases/${name}.html` }));
        row.append(head);
        for (const [number, text] of [[x, score(x)], [y, score(y)], [x - y, signed(x - y)]]) {
          row.append(element("td", text, { class: "number", "data-v": number }));
        }
        return row;
      }),
    );
    sortBy(table, 3, "descending");
    const means = rows.length ? [mean(rows.map(({ x }) => x)), mean(rows.map(({ y }) => y))] : [null, null];
    const round = (number) => Math.round(number * 1e6);
    const wins = rows.filter(({ x, y }) => round(x) > round(y)).length;
    const losses = rows.filter(({ x, y }) => round(x) < round(y)).length;
    const test = value === "auroc" ? comparison.tests[`${Math.min(a, b)},${Math.max(a, b)}`] : undefined;
    facts.replaceChildren(
      ...[
        [titleA, score(means[0]), `mean of ${rows.length} cases`],
        [titleB, score(means[1]), `mean of ${rows.length} cases`],
        ["Difference", rows.length ? signed(means[0] - means[1]) : "–", `${wins} wins, ${losses} losses, ${rows.length - wins - losses} ties`],
        test ? ["p, Holm", chance(test[1]), `p ${chance(test[0])} before correction${all ? "; structural cases" : ""}`] : ["p", "–", "of AUROC, of two ranked methods"],
        test ? ["A12", score(a < b ? test[2] : 1 - test[2]), "how often a case of A is higher"] : ["A12", "–", ""],
      ].map(([name, number, text]) => {
        const box = document.createElement("div");
        const shown = element("dd", number);
        shown.append(element("small", text));
        box.append(element("dt", name), shown);
        return box;
      }),
    );
    const low = Math.min(0.95, ...rows.flatMap(({ x, y }) => [x, y]));
    const range = [low - 0.05 * (1 - low) - 0.002, 1 + 0.05 * (1 - low)];
    draw(document.getElementById("scatter"), {
      data: [
        { x: range, y: range, mode: "lines", line: { color: "--line", width: 1 }, hoverinfo: "skip" },
        {
          x: rows.map(({ y }) => y), y: rows.map(({ x }) => x), text: rows.map(({ name }) => name), mode: "markers",
          marker: { color: "--dot", size: 9, opacity: 0.65 }, hovertemplate: "%{text}<br>A %{y:.3f}, B %{x:.3f}<extra></extra>",
        },
      ],
      layout: {
        showlegend: false,
        xaxis: { range, constrain: "domain", title: { text: `B: ${plain(titleB)}` } },
        yaxis: { range, title: { text: `A: ${plain(titleA)}` }, scaleanchor: "x", constrain: "domain" },
        margin: { l: 60, r: 16, t: 12, b: 56 },
      },
    });
    remember({
      a: form.elements.a.value,
      b: form.elements.b.value,
      value: value === "auroc" ? "" : value,
      cases: all ? "all" : "",
    });
    sortAsAsked();
  }

  // Plotly takes some HTML in texts; titles are text.
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").slice(0, 40);

  form.addEventListener("change", show);
  form.elements.swap.addEventListener("click", () => {
    [form.elements.a.value, form.elements.b.value] = [form.elements.b.value, form.elements.a.value];
    show();
  });
  addEventListener("hashchange", read);
  read();
});
