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
  place.drawn?.finalize();
  place.drawn = await window.vegaEmbed(place, sized(structuredClone(spec), width), {
    mode: "vega-lite", renderer: "svg", actions: false, config: looks,
    tooltip: { theme: "custom", disableDefaultStyle: true },
  });
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
