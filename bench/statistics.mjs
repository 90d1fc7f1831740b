/** What is said of a series of measurements: medians and their spread, as means hide neither noise nor tails. */

/** The value below which this share of the sorted numbers lies, interpolated between neighbours. */
export function quantile(sorted, share) {
  const at = (sorted.length - 1) * share;
  const below = Math.floor(at);
  const above = Math.ceil(at);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
}

export const ascending = (numbers) => [...numbers].sort((a, b) => a - b);

export const median = (numbers) => quantile(ascending(numbers), 0.5);

/** Half of the numbers are no further from the median than this. */
export function medianDeviation(numbers) {
  const middle = median(numbers);
  return median(numbers.map((number) => Math.abs(number - middle)));
}

/** @param {number[]} numbers at least one */
export function summarize(numbers) {
  if (numbers.length === 0) throw new Error('there is nothing to summarize');
  const sorted = ascending(numbers);
  return {
    n: sorted.length,
    median: quantile(sorted, 0.5),
    mad: medianDeviation(sorted),
    p25: quantile(sorted, 0.25),
    p75: quantile(sorted, 0.75),
    p99: quantile(sorted, 0.99),
    min: sorted[0],
    max: sorted[sorted.length - 1],
  };
}

/** The same things in another order, each order as likely. */
export function shuffled(things, random = Math.random) {
  const order = [...things];
  for (let last = order.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

/** Three digits that matter, without an exponent. */
export function round(number) {
  if (number === 0 || !Number.isFinite(number)) return String(number);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(number))));
  return number
    .toFixed(Math.min(digits, 4))
    .replace(/(\.\d*?)0+$/, '$1')
    .replace(/\.$/, '');
}
