"use strict";
// A notebook's cell stays small: style, script and data arrive packed.
(async () => {
  const packed = Uint8Array.from(atob(document.getElementById("packed").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { style, script, data } = JSON.parse(await new Response(stream).text());
  const put = (tag, text, attributes) =>
    document.body.append(Object.assign(document.createElement(tag), { textContent: text, ...attributes }));
  put("style", style, {});
  put("script", data, { type: "application/json", id: "data" });
  put("script", script, {});
})();
