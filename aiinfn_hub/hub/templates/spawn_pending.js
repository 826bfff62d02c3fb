"use strict";
// Follows JupyterHub's progress stream; everything is written as text, never as markup.
require(["jhapi"], (JHAPI) => {
  const page = document.getElementById("aiinfn-pending");
  const sentence = document.getElementById("progress-message");
  const next = document.getElementById("aiinfn-next");
  const log = document.getElementById("progress-log");
  const cancel = document.getElementById("stop-server-btn");
  const said = document.getElementById("stop-server-status");
  const instead = document.getElementById("aiinfn-instead");
  let query = "";
  const steps = [...document.querySelectorAll("#aiinfn-steps li")];

  function showStep(name, failed) {
    const now = steps.findIndex((step) => step.dataset.step === name);
    steps.forEach((step, index) => {
      step.classList.toggle("aiinfn-done", index < now);
      step.classList.toggle("aiinfn-failed", failed && index === now);
      if (index === now) {
        step.setAttribute("aria-current", "step");
      } else {
        step.removeAttribute("aria-current");
      }
    });
  }

  function write(text) {
    const line = document.createElement("li");
    line.textContent = text;
    log.append(line);
  }

  const source = new EventSource(page.dataset.progress);
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (event.aiinfn) {
      showStep(event.aiinfn.step, event.aiinfn.final);
      sentence.textContent = event.aiinfn.sentence;
      next.textContent = event.aiinfn.next_step;
      const other = event.aiinfn.instead;
      instead.hidden = !other;
      if (other) {
        instead.textContent = `Use ${other.title} instead: ${other.free}`;
        query = other.query;
      }
    } else if (event.message) {
      write(event.message);
    }
    if (event.ready) {
      source.close();
      window.location.reload();
    }
    if (event.failed && event.html_message?.includes("aiinfn-queued")) {
      source.close();
      window.location.assign(page.dataset.spawn);
    } else if (event.failed) {
      source.close();
      const now = steps.find((step) => step.hasAttribute("aria-current"));
      showStep(now ? now.dataset.step : "quota", true);
      document.querySelector("h1").textContent = "Your session did not start";
      sentence.textContent = event.message.replace(/^Spawn failed: /, "");
      next.textContent = "";
      cancel.hidden = instead.hidden = true;
      document.getElementById("aiinfn-again").hidden = false;
    }
  };

  function cancelThenGo(address) {
    cancel.disabled = instead.disabled = true;
    said.textContent = "Cancelling...";
    const api = new JHAPI(window.jhdata.base_url);
    const user = page.dataset.user;
    // A hub that is still stopping the session would send the next page back here.
    const goWhenStopped = () =>
      api.get_user(user, {
        success: (model) => {
          if (model.servers && page.dataset.server in model.servers) {
            setTimeout(goWhenStopped, 500);
          } else {
            window.location.assign(address());
          }
        },
      });
    const answers = {
      success: () => {
        source.close();
        goWhenStopped();
      },
      error: (answer) => {
        cancel.disabled = instead.disabled = false;
        said.textContent = `Not cancelled: ${answer.responseJSON?.message ?? answer.statusText}`;
      },
    };
    if (page.dataset.server) {
      api.stop_named_server(user, page.dataset.server, answers);
    } else {
      api.stop_server(user, answers);
    }
  }

  cancel.addEventListener("click", () => cancelThenGo(() => `${window.jhdata.base_url}home`));
  instead.addEventListener("click", () => cancelThenGo(() => `${page.dataset.spawn}?${query}`));

  // signal that page has finished loading (mostly for tests), as JupyterHub's own page does
  window._jupyterhub_page_loaded = true;
});
