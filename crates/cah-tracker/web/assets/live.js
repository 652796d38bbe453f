// Brings the page's figures up to date without reloading it.
"use strict";
(() => {
  const PERIOD = 10000;
  const live = document.body.dataset.live;
  let waiting = null;
  let busy = false;

  function main(text) {
    return new DOMParser().parseFromString(text, "text/html").querySelector("main");
  }

  // Nobody's selection or keyboard focus is taken away.
  function mayChange(shown) {
    return !shown.contains(document.activeElement) && getSelection().isCollapsed;
  }

  function show(fresh) {
    const shown = document.querySelector("main");
    waiting = null;
    if (!fresh) return;
    if (mayChange(shown)) shown.replaceWith(document.adoptNode(fresh));
    else waiting = fresh;
  }

  function stale(is) {
    document.documentElement.classList.toggle("is-stale", is);
  }

  // Pages that nobody pushes are asked for again.
  async function refresh() {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PERIOD) });
      if (!answer.ok) throw new Error(String(answer.status));
      show(main(await answer.text()));
      stale(false);
    } catch {
      stale(true);
    } finally {
      busy = false;
    }
  }

  function poll() {
    setInterval(refresh, PERIOD);
    document.addEventListener("visibilitychange", refresh);
  }

  // The tracker pushes each change. Out of sight nothing is listened to; back in sight the page is
  // brought up to date at once.
  function listen() {
    let source = null;
    let again = null;
    function follow() {
      clearTimeout(again);
      source?.close();
      source = null;
      if (document.hidden) return;
      source = new EventSource(live);
      source.addEventListener("main", (event) => {
        show(main(event.data));
        stale(false);
      });
      source.addEventListener("open", refresh);
      source.addEventListener("error", broken);
    }
    // The browser connects again by itself, but gives up where it is answered an error, as by a
    // proxy with no tracker behind it. Then the page is asked for until it is pushed again.
    function broken({ target }) {
      if (target.readyState !== EventSource.CLOSED) {
        stale(true);
        return;
      }
      refresh();
      again = setTimeout(follow, PERIOD);
    }
    document.addEventListener("visibilitychange", follow);
    document.addEventListener("selectionchange", () => {
      if (waiting && mayChange(document.querySelector("main"))) show(waiting);
    });
    follow();
  }

  if (live) listen();
  else poll();
})();
