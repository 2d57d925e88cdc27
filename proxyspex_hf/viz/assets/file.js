"use strict";
// A file stands alone: nothing can be asked of Python, and nothing comes from it later.
(() => {
const element = document.getElementById("explanation");
const props = { value: document.getElementById("data").textContent };
const trigger = null, watch = () => {};
