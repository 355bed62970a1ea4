"use strict";
(() => {
  const live = document.getElementById("live");
  // The satellite's clock: a host at the edge may not know the time.
  const skew = Date.parse(live.querySelector("time").dateTime) - Date.now();
  const say = (state, text) => {
    live.className = state;
    live.textContent = text;
  };

  // Makes one element equal to another and keeps what has not changed: focus, selection, and
  // which details are open.
  const morph = (now, next) => {
    if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName) {
      now.replaceWith(next);
      return;
    }
    if (now.nodeType !== Node.ELEMENT_NODE) {
      if (now.data !== next.data) now.data = next.data;
      return;
    }
    for (const { name } of [...now.attributes]) {
      if (name !== "open" && !next.hasAttribute(name)) now.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) {
      if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    }
    if (now.nodeName === "TIME") return;
    const key = (node) => node.dataset && node.dataset.key;
    const known = new Map([...now.children].filter(key).map((node) => [key(node), node]));
    let at = now.firstChild;
    for (const child of [...next.childNodes]) {
      const match = key(child) && known.get(key(child));
      if (match) {
        if (match === at) at = at.nextSibling;
        else now.insertBefore(match, at);
        morph(match, child);
      } else if (!at || key(child) || key(at)) {
        now.insertBefore(child, at);
      } else {
        const old = at;
        at = at.nextSibling;
        morph(old, child);
      }
    }
    while (at) {
      const old = at;
      at = at.nextSibling;
      old.remove();
    }
  };

  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const ago = () => {
    for (const time of document.querySelectorAll("main time")) {
      const seconds = Math.round((Date.parse(time.dateTime) - Date.now() - skew) / 1000);
      const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) || units[3];
      const text = Math.abs(seconds) < 5 ? "just now" : relative.format(Math.trunc(seconds / size), unit);
      if (time.textContent !== text) time.textContent = text;
    }
  };

  const events = new EventSource("/events");
  events.onopen = () => say("on", "Live");
  events.onerror = () => say("off", "The satellite does not respond; trying again");
  events.addEventListener("section", (event) => {
    const template = document.createElement("template");
    template.innerHTML = event.data;
    const next = template.content.firstElementChild;
    morph(document.getElementById(next.id), next);
    if (next.dataset.title) document.title = next.dataset.title;
    ago();
  });
  setInterval(ago, 1000);
  ago();
})();
