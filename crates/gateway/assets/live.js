// Keeps the marked parts of a page current: fetches the page again and puts its new parts in place.
"use strict";
(() => {
  const EVERY_MS = 3000;
  const parts = () => [...document.querySelectorAll("[data-part]")];
  const replace = (part, fresh) => {
    // Not under somebody's hands, and not without need.
    if (!fresh || part.contains(document.activeElement) || part.innerHTML === fresh.innerHTML) return;
    const open = [...part.querySelectorAll("details[data-key][open]")].map((details) => details.dataset.key);
    for (const details of fresh.querySelectorAll("details[data-key]")) details.open = open.includes(details.dataset.key);
    part.replaceWith(document.adoptNode(fresh));
  };
  const refresh = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href);
      // The session is over: the page says so itself.
      if (answer.redirected) return location.reload();
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of parts()) replace(part, page.getElementById(part.id));
    } catch {
      // The gateway is away: ask again.
    }
  };
  if (parts().length > 0) setInterval(refresh, EVERY_MS);
})();
