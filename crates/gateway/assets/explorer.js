// Keeps the tables of blocks current. Without it the page loads itself anew.
"use strict";
(() => {
  const MAX_ROWS = 25;
  const short = (hash) => `${hash.slice(0, 8)}…${hash.slice(-6)}`;
  const tiny = (hash) => `${hash.slice(0, 6)}…${hash.slice(-4)}`;
  const utc = (ms) => new Date(ms).toISOString();

  const cell = (classes, label, child) => {
    const td = document.createElement("td");
    td.className = classes;
    if (label) td.dataset.label = label;
    td.append(child);
    return td;
  };
  const link = (chain, hash) => {
    const a = document.createElement("a");
    a.className = "mono";
    a.href = `/${chain}/blocks/${hash}`;
    a.title = hash;
    a.textContent = tiny(hash);
    return a;
  };
  const row = (chain, block) => {
    const tr = document.createElement("tr");
    tr.dataset.height = block.height;
    tr.dataset.hash = block.hash;
    const time = document.createElement("time");
    time.dateTime = utc(block.time_ms);
    time.title = `${time.dateTime.slice(0, 19).replace("T", " ")} UTC`;
    const date = document.createElement("span");
    date.className = "date";
    date.textContent = `${time.dateTime.slice(0, 10)} `;
    time.append(date, time.dateTime.slice(11, 19));
    const miner = document.createElement("span");
    miner.title = block.miner;
    miner.textContent = block.miner_name ?? (/^0+$/.test(block.miner) ? "genesis" : short(block.miner));
    const previous = block.height > 0 ? link(chain, block.previous) : "none";
    tr.append(
      cell("num height", "", String(block.height)),
      cell("time", "", time),
      cell("num count", "", String(block.transactions)),
      cell("miner", "", miner),
      cell("previous", "previous", previous),
      cell("hash", "hash", link(chain, block.hash)),
    );
    return tr;
  };

  class Panel {
    constructor(section) {
      this.section = section;
      this.chain = section.dataset.chain;
      this.body = section.querySelector("tbody");
      this.finalHeight = -1;
      this.redrawing = false;
    }
    stat(name, value) {
      const field = this.section.querySelector(`[data-stat="${name}"]`);
      if (field) field.textContent = value;
    }
    pulse(text, off) {
      const pulse = this.section.querySelector("[data-pulse]");
      pulse.textContent = text;
      pulse.classList.toggle("off", off);
    }
    tip(event) {
      // A page from before there was a tip has nowhere to put the figures.
      if (!this.section.querySelector(".stats")) return location.reload();
      this.pulse(event.connected ? "live" : "node away", !event.connected);
      const away = this.section.querySelector("[data-away]");
      if (away) away.hidden = event.connected;
      this.stat("height", event.height);
      this.stat("final", event.final_height ?? "–");
      this.stat("pending", event.pending);
      this.finalHeight = event.final_height ?? -1;
      const top = this.body.querySelector("tr[data-hash]")?.dataset.hash;
      const at = event.blocks.findIndex((block) => block.hash === top);
      const follows = event.blocks.findIndex((block) => block.previous === top);
      if (at >= 0) this.add(event.blocks.slice(0, at));
      else if (follows >= 0) this.add(event.blocks.slice(0, follows + 1));
      else this.redraw();
      this.mark();
    }
    add(blocks) {
      for (const block of [...blocks].reverse()) {
        const tr = row(this.chain, block);
        tr.classList.add("new");
        this.body.prepend(tr);
      }
      this.trim();
    }
    async redraw() {
      if (this.redrawing) return;
      this.redrawing = true;
      try {
        const answer = await fetch(`/api/v1/chains/${this.chain}/blocks?limit=${MAX_ROWS}`);
        if (answer.ok) {
          const { blocks } = await answer.json();
          this.body.replaceChildren(...blocks.reverse().map((block) => row(this.chain, block)));
          this.trim();
          this.mark();
        }
      } finally {
        this.redrawing = false;
      }
    }
    trim() {
      while (this.body.children.length > MAX_ROWS) this.body.lastElementChild.remove();
      const lowest = Number(this.body.lastElementChild?.dataset.height ?? 0);
      const older = this.section.querySelector("[data-older]");
      if (older && lowest > 0) older.href = `/?${this.chain}=${lowest - 1}`;
    }
    mark() {
      for (const tr of this.body.querySelectorAll("tr[data-height]")) {
        tr.classList.toggle("final", Number(tr.dataset.height) <= this.finalHeight);
      }
    }
  }

  const panels = [...document.querySelectorAll(".chain[data-live]")].map((section) => new Panel(section));
  if (panels.length === 0) return;
  const events = new EventSource("/api/v1/events");
  events.addEventListener("tip", (message) => {
    const event = JSON.parse(message.data);
    panels.filter((panel) => panel.chain === event.chain).forEach((panel) => panel.tip(event));
  });
  events.onerror = () => panels.forEach((panel) => panel.pulse("reconnecting", true));
  addEventListener("pagehide", () => events.close());
})();
