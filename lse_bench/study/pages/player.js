"use strict";
// Plays the clips of one stage to their ends, and opens the answers afterwards. The server and the plain files use it.
const lseBench = (() => {
  const words = () => document.body.dataset;

  function player(figure, changed) {
    const video = figure.querySelector("video"), button = figure.querySelector(".play");
    const state = { plays: 0, seconds: 0, video, button, begun: 0, reached: 0 };
    const label = (text) => { button.textContent = text; };
    video.controls = false;
    video.addEventListener("contextmenu", (event) => event.preventDefault());
    video.addEventListener("playing", () => {
      if (!state.begun) state.begun = performance.now();
      button.disabled = true;
      label(words().playing);
    });
    video.addEventListener("timeupdate", () => {
      if (!video.seeking) state.reached = Math.max(state.reached, video.currentTime);
    });
    video.addEventListener("seeking", () => {  // a jump ahead would end a clip that was not seen
      if (video.currentTime > state.reached + 0.5) video.currentTime = state.reached;
    });
    video.addEventListener("ratechange", () => { if (video.playbackRate !== 1) video.playbackRate = 1; });
    video.addEventListener("pause", () => {
      if (video.ended) return;
      button.disabled = false;
      label(words().play);
    });
    video.addEventListener("ended", () => {
      let seen = 0;
      for (let n = 0; n < video.played.length; n += 1) seen += video.played.end(n) - video.played.start(n);
      button.disabled = false;
      if (seen < video.duration - 0.5) { label(words().play); return; }
      if (!state.plays) state.seconds = (performance.now() - state.begun) / 1000;
      state.plays += 1;
      state.begun = 0;
      state.reached = 0;
      button.classList.add("done");
      label(words().again);
      changed();
    });
    return state;
  }

  function prepare(stage) {
    const form = stage.querySelector("form");
    const send = form && form.querySelector("button.send");
    const figures = [...stage.querySelectorAll(".clip")];
    const states = figures.map((figure) => player(figure, changed));
    function changed() {
      form.elements.plays.value = states.map((state) => state.plays).join(" ");
      form.elements.played.value = states.map((state) => state.seconds.toFixed(2)).join(" ");
      if (!states.every((state) => state.plays > 0)) return;
      stage.querySelectorAll("fieldset.answers").forEach((set) => { set.disabled = false; });
      ready();
    }
    function ready() {
      if (!send) return;
      const sets = [...stage.querySelectorAll("fieldset.answers")];
      const answered = sets.every((set) => set.querySelector("input:checked"));
      send.disabled = !answered || !states.every((state) => state.plays > 0);
    }
    if (form) form.addEventListener("change", ready);
    if (form && !states.length) ready();
    function play(state) {
      if (states.some((other) => !other.video.paused)) return;
      state.video.play().catch(() => {});
    }
    states.forEach((state) => state.button.addEventListener("click", () => play(state)));
    if ("mediaSession" in navigator) {
      for (const action of ["seekto", "seekforward", "seekbackward", "nexttrack"]) {
        try { navigator.mediaSession.setActionHandler(action, () => {}); } catch (error) { /* an older browser */ }
      }
    }
    const ahead = [...stage.querySelectorAll(".ahead video")];
    const load = () => ahead.forEach((video) => { if (!video.src) video.src = video.dataset.src; });
    const first = states.length ? states[states.length - 1].video : null;
    if (first && first.readyState < 4) first.addEventListener("canplaythrough", load, { once: true });
    else load();
    let sent = false;
    if (form) form.addEventListener("submit", (event) => {
      if (sent) { event.preventDefault(); return; }
      sent = true;
    });
    function key(event) {
      if (stage.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target instanceof HTMLTextAreaElement) return;
      const open = [...stage.querySelectorAll("fieldset.answers:not(:disabled)")];
      const choose = (set, value) => {
        const input = set && [...set.querySelectorAll("input")].find((one) => one.value === value);
        if (input) { input.checked = true; input.focus(); ready(); }
      };
      const name = event.key.toLowerCase();
      if (name === " " && states.length && !(event.target instanceof HTMLButtonElement)) {
        event.preventDefault();
        play(states.find((state) => !state.plays) || states[0]);
      } else if (name === "enter" && send && !send.disabled && event.target !== send) {
        event.preventDefault();
        form.requestSubmit(send);
      } else if (stage.classList.contains("pair") && open.length) {
        const value = { a: "left", b: "right", 0: "none" }[name];
        if (value) choose(open[0], value);
      } else if (/^[0-9]$/.test(name) && open.length) {
        const next = open.find((set) => !set.querySelector("input:checked"));
        choose(next || open.find((set) => set.contains(event.target)) || open[0], name);
      }
    }
    document.addEventListener("keydown", key);
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("section.stage:not([hidden])").forEach(prepare);
  });
  return { prepare };
})();
