// Draws the charts. Colours are CSS variables: light, dark and print need no drawing anew; another width does.
const specs = JSON.parse(document.getElementById("specs").textContent);
const looks = {
  background: "transparent",
  font: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
  view: { stroke: null },
  axis: {
    gridColor: "var(--grid)", domainColor: "var(--line)", tickColor: "var(--line)", labelColor: "var(--soft)",
    titleColor: "var(--soft)", titleFontWeight: "normal", titleFontSize: 12, labelFontSize: 11, labelOverlap: true,
  },
  axisY: { minExtent: 38, domain: false, ticks: false, labelPadding: 6, tickCount: 5 },
  axisX: { tickCount: 8 },
  title: { color: "var(--ink)", anchor: "start", fontSize: 12.5, fontWeight: 500 },
  legend: {
    labelColor: "var(--ink)", titleColor: "var(--soft)", orient: "top", direction: "horizontal", labelFontSize: 12,
    symbolStrokeWidth: 2.5, symbolSize: 110, columns: 6, title: null, labelLimit: 220,
  },
};

function sized(spec, width) {
  for (const inner of spec.vconcat ?? []) sized(inner, width);
  if (!spec.vconcat) spec.width = width;
  return spec;
}

async function draw(name, spec) {
  const place = document.getElementById(name);
  const width = Math.max(place.clientWidth - 72, 160);
  if (place.drawnWidth === width) return;
  place.drawnWidth = width;
  await embed(place, spec, width);
  const beyond = place.querySelector("svg").width.baseVal.value - place.clientWidth;
  if (beyond > 0) await embed(place, spec, Math.max(width - beyond, 120));  // long labels: less room for the rest
}

async function embed(place, spec, width) {
  place.drawn?.finalize();
  const legend = { ...looks.legend, columns: width < 280 ? 1 : looks.legend.columns };
  place.drawn = await window.vegaEmbed(place, sized(structuredClone(spec), width), {
    mode: "vega-lite", renderer: "svg", actions: false, config: { ...looks, legend },
    tooltip: { theme: "custom", disableDefaultStyle: true },
  });
}

// Sorts the rows of a table by a column: numbers by their value, the highest first at the second click; dashes stay last.
function sortBy(heading) {
  const table = heading.closest("table"), place = heading.cellIndex;
  const down = heading.ariaSort === "ascending";
  const keys = new Map([...table.tBodies[0].rows].map(row => [row, keyOf(row.cells[place].innerText)]));
  const sorted = [...keys.keys()].sort((a, b) => compare(keys.get(a), keys.get(b), down ? -1 : 1));
  table.tBodies[0].append(...sorted);
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.ariaSort = down ? "descending" : "ascending";
}

const numeral = /^[+-]?[\d,]*\.?\d+(?=$| %| to | of )/;

function keyOf(text) {
  const plain = text.replace("†", "").trim(), number = plain.match(numeral);
  return ["–", "-", ""].includes(plain) ? null : number ? Number(number[0].replaceAll(",", "")) : plain;
}

function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}

const drawAll = () => Promise.all(Object.entries(specs).map(([name, spec]) => draw(name, spec)));
let waiting;
window.addEventListener("resize", () => {
  if (window.matchMedia("print").matches) return;
  clearTimeout(waiting);
  waiting = setTimeout(drawAll, 150);
});
await drawAll();
document.documentElement.dataset.drawn = "true";
