"use strict";
// Everything shown comes from data.js as text: nothing is ever parsed as HTML.
const data = window.LSE_BENCH;
const byId = (id) => document.getElementById(id);
const make = (tag, text, attributes = {}) => {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const glued = (text) => text.replace(/± /g, "±\u00a0").replace(/ ([↑↓])/g, "\u00a0$1"); // no line ends there
const dot = (method) => {
  const mark = make("span", "", { class: "dot", "aria-hidden": "true" });
  mark.style.background = data.colours[method] || "transparent";
  return mark;
};

function fill(select, values, all) {
  for (const value of [all, ...new Set(values)]) select.append(make("option", value));
}

function sorted(rows, column, direction) {
  const known = (row) => row.values[column] !== null && row.values[column] !== undefined;
  return [...rows].sort((a, b) => {
    if (!known(a) || !known(b)) return Number(known(b)) - Number(known(a));
    const [x, y] = [a.values[column], b.values[column]];
    return direction * (typeof x === "string" ? x.localeCompare(y) : x - y);
  });
}

const sorting = new Map(); // table to [column, direction], kept while filters change

function drawTable(table) {
  const box = make("div");
  box.append(make("h2", `${table.corpus}, ${table.protocol}`));
  const wide = make("div", null, { class: "wide", tabindex: "0", role: "region", "aria-label": `Scores on ${table.corpus}` });
  const element = make("table");
  const head = make("tr");
  const body = make("tbody");
  table.columns.forEach((column, number) => {
    const cell = make("th", null, { scope: "col", "aria-sort": "none" });
    if (number) cell.className = "number";
    const button = make("button", glued(column.title), { type: "button", title: column.explained });
    const first = column.higher ? -1 : 1; // the best on top
    button.addEventListener("click", () => {
      const [before, direction] = sorting.get(table) || [-1, 1];
      sorting.set(table, [number, before === number ? -direction : first]);
      show();
      byId("status").textContent = `${table.corpus}: sorted by ${column.title}, ${cell.getAttribute("aria-sort")}`;
    });
    cell.append(button);
    head.append(cell);
  });
  const top = make("thead");
  top.append(head);
  const show = () => {
    const [column, direction] = sorting.get(table) || [-1, 1];
    [...head.children].forEach((cell, number) => {
      cell.setAttribute("aria-sort", number !== column ? "none" : direction > 0 ? "ascending" : "descending");
    });
    fillBody(body, column < 0 ? table.rows : sorted(table.rows, column, direction), table);
  };
  show();
  element.append(top, body);
  wide.append(element);
  const legend = make("details");
  legend.append(make("summary", "What the columns mean"));
  const list = make("dl");
  for (const column of table.columns.filter((one) => one.explained)) {
    list.append(make("dt", column.title), make("dd", column.explained));
  }
  legend.append(list);
  box.append(wide, legend, ...table.notes.map((note) => make("p", note, { class: "note" })));
  return box;
}

function fillBody(body, rows, table) {
  const shown = byId("anchors").checked ? rows : rows.filter((row) => !row.anchor);
  body.replaceChildren(...shown.map((row) => {
    const line = make("tr", null, row.anchor ? { class: "anchor" } : {});
    row.cells.forEach((text, number) => {
      if (number) {
        line.append(make("td", glued(text), { class: "number" }));
        return;
      }
      const cell = make("th", null, { scope: "row" });
      const button = make("button", null, { type: "button", "aria-haspopup": "dialog" });
      button.append(dot(row.method), document.createTextNode(text));
      button.addEventListener("click", () => openProvenance(row, table));
      cell.append(button);
      line.append(cell);
    });
    return line;
  }));
}

function openProvenance(row, table) {
  byId("provenance-title").textContent = `${row.method} on ${table.corpus}`;
  const list = document.querySelector("#provenance dl");
  list.replaceChildren(...row.provenance.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
  byId("provenance").showModal();
}

function drawTables() {
  const [corpus, protocol] = [byId("corpus").value, byId("protocol").value];
  const chosen = data.tables.filter((table) => (corpus === "all" || table.corpus === corpus)
    && (protocol === "all" || table.protocol === protocol));
  byId("tables").replaceChildren(...chosen.map(drawTable));
  if (!chosen.length) byId("tables").append(make("p", "No table has this corpus under this protocol."));
  for (const pair of document.querySelectorAll(".pair")) {
    pair.hidden = corpus !== "all" && pair.dataset.corpus !== corpus;
  }
}

function drawConfidence(canvas, values, colour, share) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  const pen = canvas.getContext("2d");
  const [low, high] = [Math.min(0, ...values), Math.max(1, ...values)];
  const x = (at) => (at / Math.max(1, values.length - 1)) * canvas.width;
  const y = (value) => canvas.height * (1 - (value - low) / (high - low)) * 0.9 + canvas.height * 0.05;
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5 * scale;
  pen.beginPath();
  values.forEach((value, at) => (at ? pen.lineTo(x(at), y(value)) : pen.moveTo(x(at), y(value))));
  pen.stroke();
  pen.strokeStyle = getComputedStyle(canvas).color;
  pen.lineWidth = scale;
  pen.beginPath();
  pen.moveTo(share * canvas.width, 0);
  pen.lineTo(share * canvas.width, canvas.height);
  pen.stroke();
}

// Offsets over time, null where unknown: one step a piece, the middle line at 0 ms.
function drawOffsets(canvas, pieces, colour) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  const pen = canvas.getContext("2d");
  const end = pieces[pieces.length - 1].end;
  const most = Math.max(100, ...pieces.map((piece) => Math.abs(piece.offset_ms ?? 0)));
  const y = (value) => canvas.height * (0.5 - 0.45 * value / most);
  pen.strokeStyle = getComputedStyle(canvas).color;
  pen.lineWidth = 0.5 * scale;
  pen.beginPath();
  pen.moveTo(0, y(0));
  pen.lineTo(canvas.width, y(0));
  pen.stroke();
  pen.strokeStyle = colour;
  pen.lineWidth = 2 * scale;
  for (const piece of pieces.filter((one) => one.offset_ms !== null)) {
    pen.beginPath();
    pen.moveTo(piece.start / end * canvas.width, y(piece.offset_ms));
    pen.lineTo(piece.end / end * canvas.width, y(piece.offset_ms));
    pen.stroke();
  }
}

function drawPair(pair) {
  const box = make("div", null, { class: "pair", "data-corpus": pair.corpus });
  const title = make("h3", `${pair.corpus}: ${pair.id}`);
  const button = make("button", "Play all", { type: "button" });
  const heard = Math.max(0, pair.methods.findIndex((one) => one.method !== "real")); // real has a sound of its own
  title.append(button);
  const players = make("div", null, { class: "players" });
  const videos = [];
  for (const one of pair.methods) {
    const figure = make("figure");
    const video = make("video", null, { src: `${one.file}#t=0.6`, loop: "", playsinline: "", preload: "metadata",
      "aria-label": `${one.method}, ${pair.id}` });
    videos.push(video);
    const caption = make("figcaption");
    const scores = one.lse_d === null ? one.status : `LSE-D ${one.lse_d.toFixed(2)}, LSE-C ${one.lse_c.toFixed(2)}, offset ${one.offset}`;
    caption.append(dot(one.method), make("strong", one.method), document.createTextNode(` ${scores}`));
    const play = make("button", "Play", { type: "button", "aria-label": `Play ${one.method}, ${pair.id}` });
    play.addEventListener("click", () => (video.paused ? video.play() : video.pause()));
    video.addEventListener("play", () => { play.textContent = "Pause"; });
    video.addEventListener("pause", () => { play.textContent = "Play"; });
    figure.append(video, play); // below the picture, where it hides no mouth
    if (one.confidence.length) {
      const least = Math.min(...one.confidence).toFixed(1);
      const most = Math.max(...one.confidence).toFixed(1);
      const canvas = make("canvas", null, { role: "img", "aria-label": `Running confidence from ${least} to ${most}` });
      const draw = () => drawConfidence(canvas, one.confidence, data.colours[one.method] || "#888",
        video.duration ? video.currentTime / video.duration : 0);
      video.addEventListener("timeupdate", draw);
      new ResizeObserver(draw).observe(canvas);
      figure.append(canvas);
    }
    if (one.timeline) {
      const canvas = make("canvas", null, { role: "img", "aria-label": `Offset over time: ${one.timeline.told}` });
      new ResizeObserver(() => drawOffsets(canvas, one.timeline.pieces, data.colours[one.method] || "#888")).observe(canvas);
      figure.append(canvas, make("p", `Offset: ${one.timeline.told}`, { class: "note" }));
    }
    figure.append(caption);
    players.append(figure);
  }
  button.addEventListener("click", () => {
    const playing = videos.some((video) => !video.paused);
    videos.forEach((video, number) => {
      if (playing) {
        video.pause();
        return;
      }
      video.muted = number !== heard;
      video.currentTime = 0;
      video.play();
    });
    button.textContent = playing ? "Play all" : "Stop";
  });
  box.append(title, players);
  return box;
}

function drawPlots() {
  const place = document.querySelector("#plots .plots");
  for (const plot of data.plots) {
    const figure = make("figure");
    figure.append(make("img", null, { src: plot.file, alt: plot.alt, loading: "lazy" }), make("figcaption", plot.title));
    place.append(figure);
  }
  byId("plots").hidden = !data.plots.length;
}

function drawPublished() {
  const body = document.querySelector("#published tbody");
  for (const line of data.published) {
    const row = make("tr");
    line.forEach((value, number) => row.append(make("td", String(value), number === 3 ? { class: "number" } : {})));
    body.append(row);
  }
  byId("published").hidden = !data.published.length;
}

document.title = data.title;
byId("title").textContent = data.title;
fill(byId("corpus"), data.tables.map((table) => table.corpus), "all");
fill(byId("protocol"), data.tables.map((table) => table.protocol), "all");
for (const id of ["corpus", "protocol", "anchors"]) byId(id).addEventListener("change", drawTables);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("pairs").append(...data.clips.map(drawPair));
byId("clips").hidden = !data.clips.length;
drawPlots();
drawPublished();
drawTables();
