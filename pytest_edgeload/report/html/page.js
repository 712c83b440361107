"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const hovers = window.matchMedia("(hover: hover)").matches; // without a mouse, dragging must scroll the page
  const at = (id) => document.getElementById(id);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // The layout that all charts share: everything that depends on the page's colours and width.
  function layout(own) {
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--text"), family: "system-ui, sans-serif", size: 13 },
      margin: { l: 64, r: 16, t: 28, b: 10 }, hovermode: "closest", dragmode: hovers ? "zoom" : false,
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--text") }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--quiet"), activecolor: colour("--text") },
      ...own, xaxis: { ...axis, ...own.xaxis }, yaxis: { ...axis, ...own.yaxis },
      ...(own.yaxis2 && { yaxis2: { ...axis, ...own.yaxis2 } }),
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", ...own.legend },
    };
  }

  function draw(id, chart, missing) {
    const place = at(id);
    const exists = Boolean(chart && chart.data);
    place.hidden = !exists;
    if (exists) {
      const { height, ...own } = chart.layout;
      place.style.height = `${height || 380}px`; // the element keeps the height, but a resized chart does not
      const config = { responsive: true, displaylogo: false, displayModeBar: hovers ? "hover" : false };
      Plotly.react(place, chart.data, layout(own), config);
    } else {
      Plotly.purge(place);
    }
    const note = at(id + "-note");
    note.textContent = exists ? note.dataset.text : missing;
  }

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

  for (const id of ["curves", "responses"]) at(id + "-note").dataset.text = at(id + "-note").textContent;
  const titles = data.experiments.map((own) => own.title);
  fill(at("experiment"), titles.some(Boolean) ? titles : []);
  at("experiment").addEventListener("change", () => { choose(); drawAll(); });
  at("metric").addEventListener("change", drawCurves);
  at("limit").addEventListener("change", drawResponses);
  at("run").addEventListener("change", drawRun);
  for (const heading of at("table").tHead.rows[0].cells) heading.firstElementChild.addEventListener("click", () => sort(heading));
  for (const colours of ["(prefers-color-scheme: dark)", "print"]) window.matchMedia(colours).addEventListener("change", drawAll);
  if (data.experiments.length) {
    choose();
    drawAll();
  }
})();
