"use strict";
(() => {
  const { data, draw, drawNow } = page;
  drawNow(() => draw("curves", data, "No policy works under any of these limits."));
})();
