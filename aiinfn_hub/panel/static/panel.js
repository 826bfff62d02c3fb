// Clock times of the person's zone, and numbers that stay true while the page is open.
"use strict";

function clock(root) {
  const today = new Date().toDateString();
  for (const element of root.querySelectorAll("[data-time]")) {
    const moment = new Date(Number(element.dataset.time) * 1000);
    const time = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const day = moment.toLocaleDateString([], { day: "numeric", month: "short" });
    element.textContent = moment.toDateString() === today || element.closest("svg") ? time : `${day} ${time}`;
    if (element.localName === "time") element.dateTime = moment.toISOString();
  }
}

async function refresh() {
  const live = document.getElementById("live");
  const stale = document.getElementById("stale");
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // What somebody has opened to read stays open.
    const opened = new Map([...live.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
    live.replaceChildren(...page.getElementById("live").childNodes);
    for (const one of live.querySelectorAll("details[id]")) one.open = opened.get(one.id) ?? one.open;
    const stamp = document.querySelector("main > p time");
    stamp.dataset.time = page.querySelector("main > p time").dataset.time;
    stale.textContent = "";
    clock(document);
  } catch {
    stale.textContent = " (the service does not answer; trying again)";
  }
}

clock(document);
setInterval(refresh, Number(document.getElementById("live").dataset.live) * 1000);
document.addEventListener("visibilitychange", refresh);
