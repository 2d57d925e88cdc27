// The reading view as a file: SVG as it was drawn by the package, PNG of it, or the paper.
const offer = (blob, name) => {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};
const fileName = () => `${simplify(data.scale.label).replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40) || "explanation"}`;
// The input's image stands in the data once.
const drawing = () => (data.picture ? data.image.replace(';base64,@png@"', () => `;base64,${data.picture.png}"`) : data.image);
const savePng = async () => {
  const drawn = new DOMParser().parseFromString(drawing(), "image/svg+xml").documentElement;
  const [width, height] = ["width", "height"].map((name) => Number(drawn.getAttribute(name)));
  const picture = new Image();
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawing())}`;
  await picture.decode();
  const canvas = el("canvas", { width: 2 * width, height: 2 * height });
  canvas.getContext("2d").drawImage(picture, 0, 0, 2 * width, 2 * height);
  canvas.toBlob((blob) => offer(blob, `${fileName()}.png`), "image/png");
};
const pictureBar = () => el("details", { class: "save" }, el("summary", { text: "Save" }), el("div", {},
  button("SVG", () => offer(new Blob([drawing()], { type: "image/svg+xml" }), `${fileName()}.svg`), { "aria-label": "Save the picture as SVG", "data-id": "svg" }),
  button("PNG", () => savePng().catch((error) => announce(String(error))), { "aria-label": "Save the picture as PNG", "data-id": "png" }),
  button("Print", () => print(), { "data-id": "print" })));
