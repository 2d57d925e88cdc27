// Where no Python can be asked: 90% of what is predicted, from the Gaussian process after the answers
// (core/posterior.py). A vector of signs has -1 where a feature is kept.
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const doubtOf = ({ relevance, tilt, product, single, noise, pairs, level, scale, inflation, jitter, stride, masks, weights, sibling, shared }) => {
  const n = relevance.length, packed = bytesOf(masks), width = Math.ceil(n / 8), count = packed.length / width;
  const rows = Array.from({ length: count }, (_, j) => Float64Array.from({ length: n }, (_, i) => (packed[j * width + (i >> 3)] & (128 >> (i & 7)) ? -1 : 1)));
  const solved = new Float64Array(bytesOf(weights).buffer), total = sum(relevance);
  const tilted = (x) => Math.exp(tilt * x.reduce((all, sign) => all + sign, 0));
  // What a sibling says: r times its spectrum at x.
  const told = new WeakMap(), ofSibling = (x) => {
    if (!told.has(x)) told.set(x, sibling ? Math.sqrt(shared) * sum(sibling.support.map((set, k) => set.reduce((all, i) => all * x[i], sibling.coefficients[k]))) : 0);
    return told.get(x);
  };
  const covariance = (x, z) => {
    let overlap = 0, near = 0;
    for (let i = 0; i < n; i++) overlap += relevance[i] * x[i] * z[i];
    for (let d = 1; d <= pairs.length; d++)
      for (let i = 0; i + d < n; i++) near += pairs[d - 1] * relevance[i] * relevance[i + d] * x[i] * x[i + d] * z[i] * z[i + d];
    return product * Math.exp(overlap - total) * tilted(x) * tilted(z) + single * overlap + near + ofSibling(x) * ofSibling(z);
  };
  // Of more masks every so many: what the others would tell is left out of the width, never of the mean.
  const used = rows.filter((_, j) => j % stride === 0), m = used.length, factor = new Float64Array(m * m);
  for (let i = 0; i < m; i++)
    for (let j = 0; j <= i; j++) {
      let left = covariance(used[i], used[j]) + (i === j ? noise + jitter : 0);
      for (let k = 0, a = i * m, b = j * m; k < j; k++) left -= factor[a + k] * factor[b + k];
      factor[i * m + j] = i === j ? Math.sqrt(left) : left / factor[j * m + j];
    }
  const known = (x, z) => covariance(x, z) + (x.every((sign, i) => sign === z[i]) ? noise : 0);
  return (kept) => {
    const x = Float64Array.from(kept, (on) => (on ? -1 : 1));
    const mean = level + scale * rows.reduce((all, row, j) => all + solved[j] * known(x, row), 0);
    let variance = covariance(x, x) + noise;
    const explained = new Float64Array(m);
    for (let i = 0; i < m; i++) {
      let left = known(x, used[i]);
      for (let k = 0; k < i; k++) left -= factor[i * m + k] * explained[k];
      explained[i] = left / factor[i * m + i];
      variance -= explained[i] ** 2;
    }
    const reach = 1.6448536269514722 * inflation * scale * Math.sqrt(Math.max(0, variance)), shown = predict(kept);
    return [Math.min(mean - reach, shown), Math.max(mean + reach, shown)];
  };
};
let doubt = null; // made when it is first wanted: it takes up to a second
