"use strict";
// Follows JupyterHub's progress stream; everything is written as text, never as markup.
require(["jhapi"], (JHAPI) => {
  const page = document.getElementById("aiinfn-pending");
  const sentence = document.getElementById("progress-message");
  const next = document.getElementById("aiinfn-next");
  const log = document.getElementById("progress-log");
  const cancel = document.getElementById("stop-server-btn");
  const said = document.getElementById("stop-server-status");
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
    } else if (event.message) {
      write(event.message);
    }
    if (event.ready) {
      source.close();
      window.location.reload();
    }
    if (event.failed) {
      source.close();
      const now = steps.find((step) => step.hasAttribute("aria-current"));
      showStep(now ? now.dataset.step : "quota", true);
      document.querySelector("h1").textContent = "Your session did not start";
      sentence.textContent = event.message.replace(/^Spawn failed: /, "");
      next.textContent = "";
      cancel.hidden = true;
      document.getElementById("aiinfn-again").hidden = false;
    }
  };

  cancel.addEventListener("click", () => {
    cancel.disabled = true;
    said.textContent = "Cancelling...";
    const api = new JHAPI(window.jhdata.base_url);
    const answers = {
      success: () => {
        source.close();
        window.location.assign(`${window.jhdata.base_url}home`);
      },
      error: (answer) => {
        cancel.disabled = false;
        said.textContent = `Not cancelled: ${answer.responseJSON?.message ?? answer.statusText}`;
      },
    };
    if (page.dataset.server) {
      api.stop_named_server(page.dataset.user, page.dataset.server, answers);
    } else {
      api.stop_server(page.dataset.user, answers);
    }
  });

  // signal that page has finished loading (mostly for tests), as JupyterHub's own page does
  window._jupyterhub_page_loaded = true;
});
