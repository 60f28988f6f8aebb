// Asks every two seconds what changed, and puts it in place. All text was escaped by the server.
"use strict";
(() => {
  const address = document.currentScript.dataset.live;
  const pulse = document.getElementById("pulse");
  const shown = {};
  let version = "";

  function put(parts) {
    for (const [id, html] of Object.entries(parts)) {
      if (shown[id] === html) continue;
      const place = document.getElementById(id);
      const open = [...place.querySelectorAll("details")].map((one) => one.open);
      place.innerHTML = html;
      place.querySelectorAll("details").forEach((one, k) => { one.open = Boolean(open[k]); });
      shown[id] = html;
    }
  }

  async function ask() {
    let ended = false;
    try {
      const answer = await fetch(`${address}?seen=${version}`, { credentials: "same-origin" });
      if (!answer.ok) throw new Error(String(answer.status));
      const told = await answer.json();
      put(told.parts);
      version = told.version;
      ended = told.ended;
      pulse.className = ended ? "" : "on";
    } catch {
      pulse.className = "off";
    }
    setTimeout(ask, document.hidden || ended ? 10000 : 2000);
  }
  ask();
})();
