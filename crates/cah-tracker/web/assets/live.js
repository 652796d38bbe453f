// Brings the page's figures up to date without reloading it.
"use strict";
(() => {
  const PERIOD = 10000;
  let busy = false;

  async function refresh() {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PERIOD) });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("main");
      const shown = document.querySelector("main");
      // Nobody's selection or keyboard focus is taken away.
      if (fresh && !shown.contains(document.activeElement) && getSelection().isCollapsed) {
        shown.replaceWith(document.adoptNode(fresh));
      }
      document.documentElement.classList.remove("is-stale");
    } catch {
      document.documentElement.classList.add("is-stale");
    } finally {
      busy = false;
    }
  }

  setInterval(refresh, PERIOD);
  document.addEventListener("visibilitychange", refresh);
})();
