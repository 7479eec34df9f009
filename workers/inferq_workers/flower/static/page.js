// Takes the numbers from the page itself, every three seconds, while somebody looks.
(function () {
  "use strict";
  const INTERVAL_MS = 3000;
  // Without the password that the address may carry: a browser refuses to fetch such addresses.
  const address = window.location.origin + window.location.pathname;
  const overview = document.getElementById("inferq-overview");
  const status = document.getElementById("inferq-status");
  const dot = document.getElementById("inferq-dot");
  const pause = document.getElementById("inferq-pause");
  let paused = false;
  let refreshed = new Date();

  function say(text, isLive) {
    status.textContent = text;
    dot.classList.toggle("status-dot-live", isLive);
    dot.classList.toggle("status-dot-error", !isLive && !paused);
  }

  async function refresh() {
    const answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
    if (!answer.ok) {
      throw new Error(String(answer.status));
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const newer = page.getElementById("inferq-overview");
    // A link that has the keyboard, or text that is being selected, is not taken away.
    const inUse = overview.contains(document.activeElement) || String(window.getSelection()) !== "";
    if (!inUse && newer && newer.innerHTML !== overview.innerHTML) {
      overview.innerHTML = newer.innerHTML;
    }
    refreshed = new Date();
  }

  async function turn() {
    if (!paused && !document.hidden) {
      try {
        await refresh();
        say("Updated " + refreshed.toLocaleTimeString(), true);
      } catch (error) {
        say("No answer since " + refreshed.toLocaleTimeString(), false);
      }
    }
    window.setTimeout(turn, INTERVAL_MS);
  }

  pause.hidden = false;
  pause.addEventListener("click", function () {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    say(paused ? "Paused at " + refreshed.toLocaleTimeString() : "Updating", !paused);
  });
  say("Updated " + refreshed.toLocaleTimeString(), true);
  window.setTimeout(turn, INTERVAL_MS);
})();
