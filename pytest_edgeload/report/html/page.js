"use strict";
(() => {
  const { data, at, draw, drawNow } = page;

  function fill(select, titles) {
    select.replaceChildren(...titles.map((title, i) => new Option(title, i)));
    select.closest("p").hidden = !titles.length;
  }

  const chosen = (id, list) => list[Number(at(id).value)];
  const experiment = () => chosen("experiment", data.experiments);

  function choose() {
    const own = experiment();
    const answered = own.limits.some((limit) => limit.chart.data);
    fill(at("metric"), own.charts.length > 1 ? own.charts.map((chart) => chart.title) : []);
    fill(at("limit"), answered ? own.limits.map((limit) => limit.title) : []);
    fill(at("run"), own.runs.map((run) => run.title));
  }

  function drawAll() {
    at("conditions").replaceChildren(...experiment().conditions.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
    drawCurves();
    drawResponses();
    drawRun();
  }

  function drawCurves() {
    const shown = chosen("metric", experiment().charts) || experiment().charts[0];
    draw("curves", shown.chart, "There is a single value here; the table of cases has it.");
  }

  function drawResponses() {
    const limit = chosen("limit", experiment().limits);
    draw("responses", limit && limit.chart, limit ? limit.missing : "");
  }

  function drawRun() {
    const run = chosen("run", experiment().runs) || {};
    at("memory-note").dataset.text = run.memory_note || "";
    at("lanes-note").dataset.text = run.lanes_note || "";
    at("steps-note").dataset.text = run.steps_note || "";
    at("steps-part").hidden = !(run.steps && run.steps.data);
    draw("memory", run.memory, "These records have no time line of memory. Baselines omit it; the JSON file of a session contains it.");
    draw("lanes", run.lanes, "These records have no tasks. Baselines omit them; the JSON file of a session contains them. Runs of peers and failed runs have none.");
    draw("steps", run.steps, "");
    if (!at("memory").hidden && !at("lanes").hidden) {
      follow(at("memory"), at("lanes"));
      follow(at("lanes"), at("memory"));
    }
  }

  // Zooming into one of the two charts of a run zooms the other.
  function follow(from, to) {
    from.removeAllListeners("plotly_relayout");
    from.on("plotly_relayout", () => {
      const range = [...from.layout.xaxis.range];
      if (String(range) !== String(to.layout.xaxis.range)) Plotly.relayout(to, { "xaxis.range": range });
    });
  }

  function sort(heading) {
    const column = heading.cellIndex;
    const rising = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const body = heading.closest("table").tBodies[0];
    const isNumber = heading.classList.contains("number");
    const value = (row) => isNumber ? Number(row.cells[column].dataset.value) : row.cells[column].textContent;
    const known = (row) => !isNumber || "value" in row.cells[column].dataset;
    const order = (a, b) => isNumber ? a - b : a.localeCompare(b, "en", { numeric: true });
    const rows = [...body.rows];
    const sorted = rows.filter(known).sort((a, b) => (rising ? 1 : -1) * order(value(a), value(b)));
    body.append(...sorted, ...rows.filter((row) => !known(row))); // rows without a value stay last
  }

  const titles = data.experiments.map((own) => own.title);
  fill(at("experiment"), titles.some(Boolean) ? titles : []);
  at("experiment").addEventListener("change", () => { choose(); drawAll(); });
  at("metric").addEventListener("change", drawCurves);
  at("limit").addEventListener("change", drawResponses);
  at("run").addEventListener("change", drawRun);
  for (const heading of at("table").tHead.rows[0].cells) heading.firstElementChild.addEventListener("click", () => sort(heading));
  if (data.experiments.length) {
    choose();
    drawNow(drawAll);
  }
})();
