"use strict";
// The data of a page, and its charts in the page's colours and width.
const page = (() => {
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

  // Draws the charts, and draws them again in other colours.
  function drawNow(drawAll) {
    for (const colours of ["(prefers-color-scheme: dark)", "print"]) window.matchMedia(colours).addEventListener("change", drawAll);
    drawAll();
  }

  for (const note of document.querySelectorAll("figcaption")) note.dataset.text = note.textContent;
  return { data, at, draw, drawNow };
})();
