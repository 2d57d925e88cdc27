"""The contrast of every text of a page against what lies under it, as WCAG counts it."""

from __future__ import annotations

__all__ = ["CONTRAST"]

#: For ``evaluate_all``: [ratio, text] of each visible element that has text.
CONTRAST = """elements => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (colors) => {
    context.clearRect(0, 0, 1, 1);
    for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => rgb.map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  return elements.filter((e) => e.checkVisibility() && e.textContent.trim()).map((element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement)
      layers.unshift(getComputedStyle(e).backgroundColor);
    const under = luminance(paint(layers));
    const over = luminance(paint([...layers, getComputedStyle(element).color]));
    return [(Math.max(under, over) + 0.05) / (Math.min(under, over) + 0.05), element.textContent];
  });
}"""
