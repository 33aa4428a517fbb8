// Sends files with progress and follows records until they are final. Without it the forms work by themselves.
"use strict";
(() => {
  const POLL_MS = 1000;
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  // submitted → in block h → k of q members → final
  const draw = (root, status) => {
    const reached = { queued: 0, unknown: 0, void: 0, submitted: 1, in_block: 3, final: 4 }[status.state] ?? 0;
    const texts = {
      submitted: status.state === "queued" ? "queued" : "submitted",
      block: status.height === undefined ? "in a block" : `in block ${status.height}`,
      members: status.quorum ? `${Math.min(status.members, status.quorum)} of ${status.quorum} members` : "members build on it",
      final: "final",
    };
    if (status.quorum === 0) texts.members = "an open chain has no members";
    root.querySelectorAll("[data-step]").forEach((step, at) => {
      step.textContent = texts[step.dataset.step];
      const done = reached === 4 || at + 1 < reached;
      const now = !done && (at + 1 === reached || (reached === 0 && at === 0));
      step.className = done ? "done" : now ? "now" : "ahead";
    });
    const reason = root.querySelector("[data-reason]");
    const text = status.reason ?? (status.state === "queued" ? "The node is away; the gateway submits it when it is back." : "");
    reason.textContent = text;
    reason.hidden = text === "";
    const receipt = status.state === "in_block" || status.state === "final";
    root.querySelectorAll("[data-receipt]").forEach((link) => { link.hidden = !receipt; });
  };

  const follow = async (root, url) => {
    for (;;) {
      try {
        const answer = await fetch(url);
        if (answer.status === 401 || answer.status === 404) return;
        if (answer.ok) {
          const status = await answer.json();
          draw(root, status);
          if (status.state === "final" || status.state === "void") return;
        }
      } catch {
        // The gateway is away: ask again.
      }
      await wait(POLL_MS);
    }
  };

  const link = (text, href, name) => {
    const a = document.createElement("a");
    a.textContent = text;
    a.href = href;
    a.download = name;
    return a;
  };

  const list = (way, records, files) => {
    const lines = records.map((taken, at) => {
      const base = `/api/v1/records/${taken.record}`;
      const name = document.createElement("span");
      name.className = "name";
      name.textContent = files[at].name;
      const receipt = link("Receipt", `${base}/receipt`, `${files[at].name}.receipt.json`);
      receipt.dataset.receipt = "";
      receipt.hidden = true;
      const page = document.createElement("a");
      page.textContent = "Details";
      page.href = `/publish/records/${taken.record}`;
      const line = document.createElement("li");
      line.append(name, receipt, link("Opening", `${base}/opening`, `${files[at].name}.opening.json`), page);
      return line;
    });
    way.querySelector("[data-kept]").replaceChildren(...lines);
  };

  const send = (form, progress) => new Promise((resolve, reject) => {
    const data = new FormData(form);
    const csrf = data.get("csrf");
    data.delete("csrf");
    const request = new XMLHttpRequest();
    request.open("POST", "/api/v1/records");
    request.setRequestHeader("X-CSRF-Token", csrf);
    request.responseType = "json";
    request.upload.onprogress = (event) => { if (event.lengthComputable) progress.value = event.loaded / event.total; };
    request.onload = () => {
      if (request.status === 202) resolve(request.response);
      else reject(new Error(request.response?.error?.message ?? `The gateway answered ${request.status}.`));
    };
    request.onerror = () => reject(new Error("The gateway does not answer. Send it again: nothing is published twice."));
    request.send(data);
  });

  const freshKey = (form) => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    form.elements.idempotency_key.value = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  };

  const form = document.getElementById("publish");
  form?.addEventListener("change", () => freshKey(form));
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const way = document.getElementById("way");
    const [button, progress, refusal] = ["button", "[data-upload]", "[data-refusal]"].map((at) => form.querySelector(at));
    const files = [...form.elements.files.files];
    button.disabled = true;
    refusal.hidden = true;
    progress.hidden = false;
    progress.value = 0;
    try {
      const taken = await send(form, progress);
      const records = taken.records ?? [taken];
      list(way, records, files);
      draw(way, { state: "submitted" });
      way.hidden = false;
      way.scrollIntoView({ block: "nearest" });
      form.reset();
      freshKey(form);
      follow(way, records[0].status_url);
    } catch (error) {
      refusal.textContent = error.message;
      refusal.hidden = false;
    } finally {
      button.disabled = false;
      progress.hidden = true;
    }
  });

  const record = document.querySelector("[data-record]");
  if (record && !["final", "void"].includes(record.dataset.stage)) {
    follow(record, `/api/v1/records/${record.dataset.record}/status`);
  }
})();
