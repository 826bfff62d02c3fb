"use strict";
// Narrows the choices to the flavour and the activity, and keeps the numbers fresh. The form works without it.
(() => {
  const root = document.getElementById("aiinfn-spawn");
  const data = JSON.parse(document.getElementById("aiinfn-data").textContent);
  const radios = [...root.querySelectorAll("input[name=flavour]")];
  const activity = document.getElementById("field-activity");
  const age = document.getElementById("aiinfn-age");
  const announcer = document.getElementById("aiinfn-live");
  const closed = new Set(radios.filter((radio) => radio.disabled).map((radio) => radio.value));
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const chosen = () => radios.find((radio) => radio.checked);
  const words = new Map();

  // A time to come may be on another day.
  const day = (seconds) => {
    const moment = new Date(seconds * 1000);
    const today = moment.toDateString() === new Date().toDateString();
    const date = { weekday: "short", day: "numeric", month: "short" };
    return today ? clock(seconds) : `${moment.toLocaleDateString([], date)} ${clock(seconds)}`;
  };
  const spoken = (parts) => parts.map((part) => (typeof part === "number" ? day(part) : part)).join("");

  root.querySelectorAll("time").forEach((time) => {
    time.textContent = ("day" in time.dataset ? day : clock)(Date.parse(time.dateTime) / 1000);
  });
  document.getElementById("aiinfn-error")?.focus();

  function narrow(name, allowed, fallback) {
    const select = document.getElementById(`field-${name}`);
    for (const option of select.options) {
      option.hidden = option.disabled = !allowed.includes(option.value);
    }
    // "suggested" is the choice of those without this script.
    if (select.selectedOptions.length === 0 || select.selectedOptions[0].disabled) {
      select.value = fallback;
    }
  }

  function followFlavour() {
    const flavour = chosen() && data[chosen().value];
    if (flavour) {
      const most = Math.max(...flavour.lifetime.map(parseFloat));
      const times = [...document.getElementById("field-lifetime").options].map((option) => option.value);
      narrow("cpu", flavour.cpu, flavour.default.cpu);
      narrow("memory", flavour.memory, flavour.default.memory);
      narrow("lifetime", times.filter((time) => parseFloat(time) <= most), flavour.default.lifetime);
    }
    followCost();
    followImage();
  }

  // What the session counts in the budget, beside the limit that has the least left for it.
  const cost = document.getElementById("aiinfn-cost");
  const lifetime = document.getElementById("field-lifetime");
  let quotas = JSON.parse(document.getElementById("aiinfn-quotas").textContent);
  const counts = (names, name) => names.length === 0 || names.includes(name);
  const left = (quota) => Math.max(0, quota.gpu_hours - quota.used - quota.committed);
  const amount = (hours) => (hours < 10 ? hours.toFixed(2) : hours.toFixed(1));

  // How soon the image is there, as some nodes of the flavour have it and others fetch it; how one of a path runs.
  const image = root.querySelector("[name=environment-image]");
  function followImage() {
    const flavour = data[chosen()?.value];
    const texts = { "aiinfn-fetched": flavour?.fetched[image.value] ?? "", "aiinfn-way": flavour?.apptainer ?? "" };
    for (const [id, text] of Object.entries(texts)) {
      const note = document.getElementById(id);
      if (note && note.textContent !== text) {
        note.textContent = text;
      }
    }
  }

  function followCost() {
    const name = chosen()?.value;
    const weight = name ? data[name].weight : 0;
    const hours = (weight * parseFloat(lifetime.value)) / 3600;
    const mine = quotas.filter((quota) => counts(quota.activities, activity.value) && counts(quota.flavours, name));
    const [least] = mine.sort((one, other) => left(one) - left(other));
    let text = "";
    if (hours > 0) {
      text = `${lifetime.selectedOptions[0].text} on it = ${amount(hours)} GPU-h`;
      text += least ? ` of the ${amount(left(least))} that are left: ${least.title}.` : ".";
    }
    const short = hours > 0 && least !== undefined && hours > left(least);
    if (short) {
      const minutes = Math.round((left(least) / weight) * 60);
      text += minutes > 0 ? ` That is enough for ${minutes} min.` : " Nothing is left for it.";
    }
    if (cost.textContent !== text) {
      cost.textContent = text;
    }
    cost.classList.toggle("text-danger-emphasis", short);
  }

  function show(name, found) {
    const cell = document.getElementById(`free-${name}`);
    const since = found.since === null ? "" : ` since ${clock(found.since)}`;
    const reason = found.reason ? ` (${found.reason})` : "";
    const expected = found.expected.length ? `: ${spoken(found.expected)}` : "";
    const reserved = found.reserved.length ? `; ${spoken(found.reserved)}` : "";
    words.set(name, `${found.text}${since}${reason}${expected}${reserved}`);
    for (const one of root.querySelectorAll(`[data-free="${name}"]`)) {
      one.textContent = words.get(name);
    }
    if (cell && !closed.has(name) && !radios.find((radio) => radio.value === name).disabled) {
      cell.textContent = words.get(name);
      cell.className = `aiinfn-free aiinfn-${found.state}`;
    }
  }

  function followActivity() {
    for (const radio of radios.filter((one) => !closed.has(one.value))) {
      const able = data[radio.value].activities;
      const cell = document.getElementById(`free-${radio.value}`);
      if (!words.has(radio.value)) {
        words.set(radio.value, cell.textContent);
      }
      radio.disabled = activity.value !== "" && !able.includes(activity.value);
      cell.textContent = radio.disabled ? `charge it to ${able.join(" or ")}` : words.get(radio.value);
    }
    if (chosen()?.disabled) {
      const first = radios.find((radio) => !radio.disabled);
      if (first) {
        first.checked = true;
      }
    }
    followFlavour();
  }

  // Typing into a field, or opening its list, chooses the environment that it belongs to.
  root.querySelectorAll(".aiinfn-environment").forEach((group) => {
    group.querySelector("select, input[type=text]").addEventListener("input", () => {
      group.querySelector("input[type=radio]").checked = true;
    });
  });
  image.addEventListener("change", followImage);
  radios.forEach((radio) => radio.addEventListener("change", followFlavour));
  activity.addEventListener("change", followActivity);
  lifetime.addEventListener("change", followCost);
  followActivity();

  // One stream a tab, closed while nobody looks. It speaks about the person who is logged in, not about another one.
  let source = null;
  let heard = Number(root.dataset.at) || 0;
  let shownFor = "";

  function hear(event) {
    const message = JSON.parse(event.data);
    if (message.at === null) {
      heard = 0;
    } else {
      heard = message.at;
    }
    Object.entries(message.flavours).forEach(([name, found]) => show(name, found));
    for (const option of activity.options) {
      const left = message.activities[option.value];
      if (left !== undefined) {
        option.textContent = left ? `${option.dataset.title} (${left})` : option.dataset.title;
      }
    }
    quotas = message.quotas;
    if (quotas.length > 0) {
      document.getElementById("aiinfn-unasked")?.remove();
    }
    followCost();
    followTicket(message);
    const name = chosen()?.value ?? "";
    const text = name && words.get(name);
    if (text && text !== shownFor) {
      if (shownFor) {
        announcer.textContent = `${chosen().labels[0].textContent}: ${text}`;
      }
      shownFor = text;
    }
    tick();
  }

  // The session that waits in the queue, if there is one.
  const ticket = document.getElementById("aiinfn-ticket");

  function address(what) {
    return `${window.jhdata.base_url}${what}/${encodeURIComponent(root.dataset.person)}/${ticket.dataset.server}`;
  }

  function followTicket(message) {
    if (ticket === null || ticket.hidden) {
      return;
    }
    if (message.starting.includes(ticket.dataset.server)) {
      tell("Your session starts");
      source?.close();
      window.location.assign(address("spawn-pending").replace(/\/$/, ""));
      return;
    }
    const mine = message.tickets?.find((one) => one.uid === ticket.dataset.uid);
    if (mine) {
      for (const part of ["headline", "reason"]) {
        const place = document.getElementById(`aiinfn-ticket-${part}`);
        if (place.textContent !== mine[part]) {
          place.textContent = mine[part];
        }
      }
      document.getElementById("aiinfn-ticket-expected").textContent = spoken(mine.expected);
    } else if (message.tickets) {
      tell("Your session is no longer in the queue");
      document.getElementById("aiinfn-ticket-title").textContent = "Your session is no longer in the queue";
      document.getElementById("aiinfn-ticket-cancel").hidden = true;
    }
  }

  // Who asks for it is told by the browser, once, also while another tab is in front: then the stream stays open.
  let telling = false;

  function tell(text) {
    if (telling) {
      telling = false;
      const body = document.getElementById("aiinfn-ticket-headline").textContent;
      new Notification(text, { body, tag: ticket.dataset.uid });
    }
  }

  async function offerToTell(event) {
    telling = (await Notification.requestPermission()) === "granted";
    event.target.hidden = telling;
    document.getElementById("aiinfn-ticket-said").textContent = telling
      ? "Your browser tells you, for as long as this page is open in a tab."
      : "Your browser does not let this page tell you anything: its settings for this site say so.";
  }

  async function cancelTicket(event) {
    const said = document.getElementById("aiinfn-ticket-said");
    event.target.disabled = true;
    said.textContent = "Cancelling...";
    const query = new URLSearchParams({ uid: ticket.dataset.uid, _xsrf: window.jhdata.xsrf_token });
    const answer = await fetch(`${address("aiinfn/tickets")}?${query}`, { method: "DELETE" }).catch(() => null);
    if (answer?.ok || answer?.status === 404) {
      ticket.hidden = true;
      telling = false;
      announcer.textContent = "Your session is no longer in the queue.";
    } else {
      event.target.disabled = false;
      said.textContent = "Not cancelled: the hub does not answer as it should. Try again in a moment.";
    }
  }

  if (ticket && window.jhdata) {
    const cancel = document.getElementById("aiinfn-ticket-cancel");
    cancel.hidden = false;
    cancel.addEventListener("click", cancelTicket);
    const teller = document.getElementById("aiinfn-ticket-tell");
    teller.hidden = !("Notification" in window);
    teller.addEventListener("click", offerToTell);
  }

  function tick() {
    const seconds = Math.round(Date.now() / 1000 - heard);
    if (!heard) {
      age.textContent = "";
    } else if (seconds > 30) {
      age.textContent = seconds < 120 ? `${seconds} s old` : `of ${clock(heard)}`;
    } else {
      age.textContent = source ? "live" : `as of ${clock(heard)}`;
    }
  }

  function follow() {
    if (document.hidden && !telling) {
      source?.close();
      source = null;
    } else if (source === null && window.jhdata && window.jhdata.user === root.dataset.person) {
      const query = new URLSearchParams({ _xsrf: window.jhdata.xsrf_token });
      source = new EventSource(`${window.jhdata.base_url}aiinfn/offer?${query}`);
      source.onmessage = hear;
      // A refusal (logged out, no permission) is final for an EventSource; a lost connection it mends itself.
      source.onerror = () => {
        if (source && source.readyState === EventSource.CLOSED) {
          source = null;
        }
      };
    }
    tick();
  }

  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", () => source?.close());
  setInterval(tick, 5000);
  follow();
})();
