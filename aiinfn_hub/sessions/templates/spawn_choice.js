"use strict";
// Whole choices: those that start with one click, and a link to the one that is filled in.
(() => {
  const root = document.getElementById("aiinfn-spawn");

  // A start of one click. Not a submit button: a browser would press the first one of the form for the Enter key.
  document.getElementById("aiinfn-quick")?.removeAttribute("hidden");
  root.querySelectorAll("[data-quick]").forEach((button) => {
    button.addEventListener("click", () => {
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name: "quick", value: button.dataset.quick });
      root.append(field);
      root.closest("form").submit();
      root.querySelectorAll("[data-quick]").forEach((one) => (one.disabled = true));
    });
  });

  // A link that fills in the form of whoever opens it, and starts nothing.
  function link() {
    const fields = new FormData(root.closest("form"));
    const kind = fields.get("environment");
    const query = new URLSearchParams();
    for (const name of ["activity", "flavour", "cpu", "memory", "lifetime"]) {
      if (fields.get(name)) {
        query.set(`opt-${name}`, fields.get(name));
      }
    }
    query.set("opt-environment", `${kind}:${fields.get(`environment-${kind}`)}`);
    fields.getAll("volumes").forEach((name) => query.append("opt-volumes", name));
    return new URL(`${window.jhdata.base_url}spawn?${query}`, window.location.href).href;
  }

  const share = document.getElementById("aiinfn-link");
  share.hidden = !window.jhdata;
  share.querySelector("button").addEventListener("click", async () => {
    const field = share.querySelector("input");
    Object.assign(field, { value: link(), hidden: false });
    field.select();
    // Without the right to, or on a page without TLS, the person copies it from the field.
    const copied = await navigator.clipboard?.writeText(field.value).then(
      () => true,
      () => false,
    );
    share.querySelector("span").textContent = copied ? "Copied." : "Copy it from here.";
  });
})();
