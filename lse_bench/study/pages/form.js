"use strict";
// The stages of one rater as one plain page: answers stay in this browser until they are saved as a file.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("form");
  const key = `lse-bench/${form.dataset.study}/${form.dataset.plan}`;
  const stages = [...form.querySelectorAll("section.stage")].filter((one) => one.querySelector("form"));
  const save = document.getElementById("save"), leave = document.getElementById("leave");
  const prepared = new Set();
  let shownAt = 0;
  let state = read();

  function read() {
    try {
      const held = JSON.parse(localStorage.getItem(key));
      if (held && Array.isArray(held.answers)) return held;
    } catch (error) { /* nothing is stored, or storing is not allowed */ }
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    const rater = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return { rater, begun: Date.now() / 1000, finished: null, answers: [] };
  }
  function keep() {
    try { localStorage.setItem(key, JSON.stringify(state)); } catch (error) { /* kept in this page only */ }
  }
  function load(stage) {
    stage.querySelectorAll("video").forEach((video) => { if (!video.src) video.src = video.dataset.src; });
  }
  function only(section) {
    form.querySelectorAll("section.stage").forEach((one) => { one.hidden = one !== section; });
    window.scrollTo(0, 0);
  }
  function show() {
    const place = stages.findIndex((one) => !state.answers.some((answer) => answer.step === one.id));
    if (place < 0) {
      if (!state.finished) { state.finished = Date.now() / 1000; keep(); }
      only(save);
      return;
    }
    const stage = stages[place];
    load(stage);
    only(stage);
    if (!prepared.has(stage)) { prepared.add(stage); lseBench.prepare(stage); }
    if (place + 1 < stages.length) load(stages[place + 1]);
    shownAt = Date.now();
  }
  stages.forEach((stage) => {
    stage.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      const values = {};
      new FormData(event.target).forEach((value, name) => { values[name] = value; });
      const { step, plays, played, ...answers } = values;
      if (state.answers.some((answer) => answer.step === step)) return;
      const now = Date.now();
      state.answers.push({ step, answers, plays, played, at: now / 1000, seconds: (now - shownAt) / 1000 });
      keep();
      show();
    });
  });
  document.getElementById("download").addEventListener("click", () => {
    const content = { kind: "answers of a study", study: form.dataset.study, plan: Number(form.dataset.plan), ...state };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(content)], { type: "application/json" }));
    const number = String(Number(form.dataset.plan) + 1).padStart(3, "0");
    link.download = `answers-rater-${number}-${state.rater}.json`;
    link.click();
    const saved = document.getElementById("saved");
    saved.textContent = saved.dataset.text.replace("{file}", link.download);
  });
  const out = document.querySelector("footer a");
  out.addEventListener("click", (event) => { event.preventDefault(); only(leave); });
  document.getElementById("stay").addEventListener("click", show);
  document.getElementById("delete").addEventListener("click", () => {
    try { localStorage.removeItem(key); } catch (error) { /* nothing was stored */ }
    state = read();
    only(document.getElementById("left"));
  });
  show();
});
