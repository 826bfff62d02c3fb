// The theme of the person's system; before anything is painted, because a flash of the other one hurts.
"use strict";

document.documentElement.dataset.bsTheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
