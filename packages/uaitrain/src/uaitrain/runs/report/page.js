"use strict";
// The value beside the pointer, or beside the arrow keys' place, of each curve.
for (const figure of document.querySelectorAll("figure")) {
  const holder = figure.querySelector(".points");
  if (!holder) continue;
  const { name, points, plot, scales, across: [low, high] } = JSON.parse(holder.textContent);
  const svg = figure.querySelector("svg");
  const cursor = figure.querySelector(".cursor");
  const value = figure.querySelector(".value");
  let place = points.length - 1;

  const across = (x) => plot.left + (x - low) / (high - low) * (plot.right - plot.left);
  const up = (y) => {
    const chosen = figure.querySelector("input:checked");
    const scale = chosen ? chosen.value : "linear";
    const [least, most] = scales[scale];
    const measured = scale === "log" ? Math.log10(y) : y;
    return plot.bottom - (measured - least) / (most - least) * (plot.bottom - plot.top);
  };
  const show = () => {
    const [x, y] = points[place];
    cursor.removeAttribute("hidden");
    cursor.setAttribute("transform", `translate(${across(x)} 0)`);
    cursor.querySelector("circle").setAttribute("cy", up(y));
    value.textContent = `iteration ${x} · ${name} ${Number(y.toPrecision(6))}`;
  };
  const hide = () => {
    cursor.setAttribute("hidden", "");
    value.textContent = "";
  };
  const nearest = (x) => {
    let from = 0, to = points.length - 1;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (points[middle][0] < x) from = middle + 1; else to = middle;
    }
    return from > 0 && x - points[from - 1][0] < points[from][0] - x ? from - 1 : from;
  };

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const inside = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    place = nearest(low + (inside - plot.left) / (plot.right - plot.left) * (high - low));
    show();
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("focus", show);
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -points.length, End: points.length };
    if (!(event.key in steps)) return;
    place = Math.max(0, Math.min(points.length - 1, place + steps[event.key]));
    show();
    event.preventDefault();
  });
  figure.addEventListener("change", () => { if (!cursor.hasAttribute("hidden")) show(); });
}
