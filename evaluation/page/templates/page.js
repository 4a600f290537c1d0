"use strict";

// A player shows one video, the sheet, on several canvases: all of them are cut from the same decoded frame.
class Player {
  constructor(root) {
    this.root = root;
    this.video = root.querySelector("video");
    this.canvases = [...root.querySelectorAll("canvas")];
    this.range = root.querySelector("input");
    this.speed = root.querySelector("select");
    this.output = root.querySelector("output");
    this.playhead = root.querySelector(".playhead");
    this.rate = Number(root.dataset.rate);
    this.times = JSON.parse(root.dataset.times);
    this.last = this.times.length - 1;
    this.frame = 0;
    this.wanted = null;
    this.listen();
    root.classList.add("ready");
    root.querySelector(".controls").hidden = false;
  }

  listen() {
    const video = this.video;
    video.controls = false;
    video.addEventListener("loadeddata", () => { if (video.paused) this.seek(this.frame); });
    video.addEventListener("seeked", () => this.sought());
    video.addEventListener("play", () => { this.button("play", "❚❚", "pause"); this.follow(); });
    video.addEventListener("pause", () => { this.button("play", "▶", "play"); this.settle(); });
    video.addEventListener("error", () => { this.root.querySelector(".failed").hidden = false; });
    this.range.addEventListener("input", () => this.seek(Number(this.range.value)));
    this.speed.addEventListener("change", () => this.pace());
    for (const button of this.root.querySelectorAll("button")) {
      button.addEventListener("click", () => this.do(button.dataset.do));
    }
    for (const canvas of this.canvases) {
      canvas.addEventListener("click", () => canvas.parentElement.classList.toggle("large"));
    }
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("pointerdown", () => { Player.active = this; });
  }

  // Some browsers play a video from memory only by a blob, not by a data: address.
  load() {
    if (this.loaded) return;
    this.loaded = true;
    const [head, text] = this.video.src.split(",");
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    this.video.src = URL.createObjectURL(new Blob([bytes], { type: head.slice(5).split(";")[0] }));
    this.video.preload = "auto";
    this.video.load();
  }

  do(what) {
    if (what === "play") this.video.paused ? this.play() : this.video.pause();
    if (what === "back") this.step(-1);
    if (what === "forth") this.step(1);
    if (what === "loop") {
      this.video.loop = !this.video.loop;
      this.root.querySelector("[data-do=loop]").setAttribute("aria-pressed", String(this.video.loop));
    }
  }

  play() {
    this.load();
    if (this.frame === this.last && !this.video.loop) this.video.currentTime = 0;
    this.video.play().catch(() => {});
  }

  step(by) {
    const count = this.last + 1;
    this.seek(this.video.loop ? (this.frame + by + count) % count : this.frame + by);
  }

  // Loading a video sets its speed back to the default.
  pace() {
    this.video.defaultPlaybackRate = this.video.playbackRate = Number(this.speed.value);
  }

  // To the middle of a frame's time, so that rounding cannot show its neighbour; the last of many wishes counts.
  seek(frame) {
    this.load();
    this.video.pause();
    this.frame = Math.min(Math.max(frame, 0), this.last);
    this.mark(this.frame);
    if (this.video.readyState < 1) return;
    if (this.video.seeking) { this.wanted = this.frame; return; }
    this.video.currentTime = (this.frame + 0.5) / this.rate;
  }

  sought() {
    if (this.wanted !== null) {
      const frame = this.wanted;
      this.wanted = null;
      this.video.currentTime = (frame + 0.5) / this.rate;
    } else {
      this.draw(this.at(this.video.currentTime));
    }
  }

  // A pause between two frames becomes a stand on one.
  settle() {
    if (!this.video.seeking) this.draw(this.at(this.video.currentTime));
  }

  at(seconds) {
    return Math.min(Math.max(Math.floor(seconds * this.rate + 0.01), 0), this.last);
  }

  follow() {
    const video = this.video;
    const exact = "requestVideoFrameCallback" in video;
    const next = (now, metadata) => {
      if (video.paused) return;
      this.draw(this.at(metadata ? metadata.mediaTime : video.currentTime));
      ask();
    };
    const ask = () => (exact ? video.requestVideoFrameCallback(next) : requestAnimationFrame((now) => next(now)));
    ask();
  }

  draw(frame) {
    for (const canvas of this.canvases) {
      const { x, y } = canvas.dataset;
      const { width, height } = canvas;
      canvas.getContext("2d").drawImage(this.video, Number(x), Number(y), width, height, 0, 0, width, height);
    }
    this.frame = frame;
    this.mark(frame);
    this.root.dataset.drawn = String(Number(this.root.dataset.drawn || 0) + 1);
  }

  mark(frame) {
    this.range.value = String(frame);
    this.output.textContent = this.times[frame];
    this.playhead.setAttribute("d", `M${(100 * frame) / Math.max(this.last, 1)} 0V40`);
    this.root.dataset.frame = String(frame);
  }

  button(name, text, label) {
    const button = this.root.querySelector(`[data-do=${name}]`);
    button.textContent = text;
    button.setAttribute("aria-label", label);
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const onControl = ["BUTTON", "SELECT"].includes(event.target.tagName);
    const faster = (by) => {
      this.speed.selectedIndex = Math.min(Math.max(this.speed.selectedIndex + by, 0), this.speed.length - 1);
      this.pace();
    };
    const keys = {
      " ": () => this.do("play"), ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
      Home: () => this.seek(0), End: () => this.seek(this.last), l: () => this.do("loop"), L: () => this.do("loop"),
      "-": () => faster(-1), "+": () => faster(1),
    };
    if (!(event.key in keys) || (event.key === " " && onControl)) return;
    if (event.target.tagName === "SELECT") return;
    event.preventDefault();
    event.stopPropagation();
    Player.active = this;
    keys[event.key]();
  }
}

const players = [...document.querySelectorAll(".player")].map((root) => new Player(root));
Player.active = players[0];
document.addEventListener("keydown", (event) => {
  if (event.target === document.body && Player.active) Player.active.key(event);
});
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      near.unobserve(entry.target);
      players.find((player) => player.root === entry.target).load();
    }
  }
}, { rootMargin: "600px" });
for (const player of players) near.observe(player.root);
