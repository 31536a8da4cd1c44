"use strict";
// Everything here is an addition: each page works without it.

const now = () => Date.now() / 1000;

function ago(at) {
  const passed = Math.floor(now() - at);
  if (passed < 5) return "now";
  for (const [unit, seconds] of [["d", 86400], ["h", 3600], ["min", 60]])
    if (passed >= 2 * seconds) return `${Math.floor(passed / seconds)} ${unit} ago`;
  return `${passed} s ago`;
}

function tick() {
  for (const time of document.querySelectorAll("time[data-at]")) time.textContent = ago(Number(time.dataset.at));
}

// --- charts ---------------------------------------------------------------------------------------------------------

const answers = new Map();
const charts = new Set();

function load(url) {
  if (!answers.has(url)) answers.set(url, fetch(url).then((answer) => (answer.ok ? answer.json() : null)));
  return answers.get(url);
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(box, width) {
  const decimals = Number(box.dataset.decimals);
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false },
                 font: "12px system-ui, sans-serif" };
  return {
    width, height: 200, cursor: { y: false, points: { size: 7 } }, legend: { live: true },
    scales: { x: { time: false } },
    axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] },
           { ...axis, size: 58, values: (_, ticks) => ticks.map((one) => one.toLocaleString("en", { maximumFractionDigits: 3 })) }],
    series: [{ label: "Round" },
             { label: box.dataset.label, stroke: colour("--accent"), width: 2, fill: colour("--accent-wash"),
               spanGaps: true, points: { show: false },
               value: (_, one) => (one == null ? "–" : one.toFixed(decimals)) }],
  };
}

async function draw(box) {
  const found = await load(box.dataset.chart);
  if (!found || !box.isConnected || found[box.dataset.x].length < 2) return;
  const scale = Number(box.dataset.scale);
  const values = found[box.dataset.y].map((one) => (one === null ? null : one * scale));
  box.plot?.destroy();
  box.replaceChildren();
  box.plot = new uPlot(options(box, box.clientWidth), [found[box.dataset.x], values], box);
  charts.add(box);
}

function drawAll() {
  for (const box of document.querySelectorAll("[data-chart]")) draw(box);
}

// --- what the person does -------------------------------------------------------------------------------------------

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("theme", theme); } catch { /* then it lasts for this page */ }
  drawAll();
}

async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.dataset.copy);
  } catch {
    return; // not a secure context: the whole text is in its title
  }
  element.classList.add("copied");
  setTimeout(() => element.classList.remove("copied"), 900);
}

// --- beginning ------------------------------------------------------------------------------------------------------

const button = document.querySelector("[data-theme-button]");
button.hidden = false;
button.addEventListener("click", switchTheme);
document.addEventListener("click", (event) => {
  const element = event.target.closest?.("[data-copy]");
  if (element) copy(element);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest?.("input, textarea")) {
    const field = document.querySelector("#q");
    if (field) { event.preventDefault(); field.focus(); }
  }
});
document.body.addEventListener("htmx:sseMessage", (event) => {
  if (event.detail.type === "change") { answers.clear(); drawAll(); }
});
document.body.addEventListener("htmx:afterSettle", tick);
document.body.addEventListener("htmx:sseOpen", () => document.body.classList.add("live"));
document.body.addEventListener("htmx:sseError", () => document.body.classList.remove("live"));
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  for (const box of charts) if (box.isConnected) box.plot.setSize({ width: box.clientWidth, height: 200 });
});
setInterval(tick, 1000);
drawAll();
