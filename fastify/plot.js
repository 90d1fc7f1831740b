'use strict';

// Draws the recent attempts over time: bars up are pushes, bars down are failures. The drawing contains no text, so it
// can be stretched to any width; its labels and description are HTML around it.

const { html } = require('./html.js');
const { clock, count, duration } = require('./format.js');

const BUCKETS = 60;
const BUCKET_WIDTH = 10;
const GAP = 2;
const WIDTH = BUCKETS * BUCKET_WIDTH;
const ABOVE = 90;
const BELOW = 50;
const SHORTEST = 4;
const TALLEST_UNIT = 24;

const MINUTE_MS = 60_000;
/** The time spans of the plot: the shortest that holds all remembered attempts is used, or the last. */
const SPANS = [
  { ms: 5 * MINUTE_MS, name: '5 min' },
  { ms: 15 * MINUTE_MS, name: '15 min' },
  { ms: 60 * MINUTE_MS, name: '60 min' },
  { ms: 6 * 60 * MINUTE_MS, name: '6 h' },
  { ms: 24 * 60 * MINUTE_MS, name: '24 h' },
];

/** @param {import('./history.js').History} history */
function plot(history, now) {
  const { attempts } = history;
  if (attempts.length === 0) {
    return html`<p class="empty">Nothing was pushed, and nothing failed, since the start.</p>`;
  }
  const span = SPANS.find(({ ms }) => now - attempts[0].at < ms) ?? SPANS.at(-1);
  const shown = attempts.filter(({ at }) => now - at < span.ms);
  const buckets = inBuckets(shown, now - span.ms, span.ms);
  const mostPushes = Math.max(...buckets.map(({ pushes }) => pushes));
  const mostFailures = Math.max(...buckets.map(({ failures }) => failures));
  const most = Math.max(mostPushes, mostFailures);
  // Both directions share one scale, so that heights can be compared.
  const unit = Math.min(ABOVE / mostPushes, BELOW / mostFailures, TALLEST_UNIT);
  const summary = describe(shown, span);
  return html`<figure>
<svg viewBox="0 0 ${WIDTH} ${ABOVE + BELOW}" preserveAspectRatio="none" role="img" aria-label="${summary}">
${buckets.map((bucket, index) => bars(bucket, index, unit, now))}
<line class="axis" x1="0" x2="${WIDTH}" y1="${ABOVE}" y2="${ABOVE}" vector-effect="non-scaling-stroke"/>
</svg>
<div class="scale" aria-hidden="true"><span>${span.name} ago</span><span>${duration(span.ms / 2)} ago</span><span>now</span></div>
<figcaption>
<span class="key"><i class="swatch push"></i>pushes, upwards</span>
<span class="key"><i class="swatch failure"></i>failed attempts, downwards</span>
${most > 0 && html`<span class="key">tallest bar: ${most} in ${duration(span.ms / BUCKETS)}</span>`}
<span class="summary">${summary}</span>
</figcaption>
</figure>`;
}

function inBuckets(attempts, from, spanMs) {
  const widthMs = spanMs / BUCKETS;
  const buckets = Array.from({ length: BUCKETS }, (_, index) => ({
    from: from + index * widthMs,
    to: from + (index + 1) * widthMs,
    pushes: 0,
    failures: 0,
  }));
  for (const { at, isPush } of attempts) {
    const index = Math.min(BUCKETS - 1, Math.floor((at - from) / widthMs));
    buckets[index][isPush ? 'pushes' : 'failures'] += 1;
  }
  return buckets;
}

/** @param {number} unit the height of one attempt */
function bars({ from, to, pushes, failures }, index, unit, now) {
  if (pushes === 0 && failures === 0) return null;
  const height = (number) => Math.max(SHORTEST, Math.round(number * unit * 10) / 10);
  const x = index * BUCKET_WIDTH + GAP / 2;
  const width = BUCKET_WIDTH - GAP;
  const when = `${clock(from, now)} to ${clock(to, now)}`;
  return html`<g><title>${when}: ${count(pushes, 'push', 'pushes')}, ${count(failures, 'failed attempt')}</title>
${pushes > 0 && html`<rect class="push" x="${x}" y="${ABOVE - height(pushes)}" width="${width}" height="${height(pushes)}"/>`}
${failures > 0 && html`<rect class="failure" x="${x}" y="${ABOVE}" width="${width}" height="${height(failures)}"/>`}</g>`;
}

/** Describes the plot in text, for screen readers and for its numbers. */
function describe(attempts, span) {
  const pushes = attempts.filter(({ isPush }) => isPush);
  const failures = attempts.filter(({ isPush }) => !isPush);
  const commits = pushes.reduce((sum, push) => sum + push.commits, 0);
  const took = pushes.map(({ durationMs }) => durationMs).sort((a, b) => a - b);
  const pushed =
    pushes.length === 0
      ? 'no push'
      : `${count(pushes.length, 'push', 'pushes')} with ${count(commits, 'commit')}`;
  const failed =
    failures.length === 0
      ? 'no failure'
      : `${count(failures.length, 'failed attempt')} (${kinds(failures)})`;
  const pace =
    took.length === 0
      ? ''
      : ` A push took ${duration(took[Math.floor(took.length / 2)])} in the median and ${duration(took.at(-1))} at most.`;
  return `In the last ${span.name}: ${pushed}, ${failed}.${pace}`;
}

function kinds(failures) {
  const counts = new Map();
  for (const { kind } of failures) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([kind, number]) => `${kind} ${number}`)
    .join(', ');
}

module.exports = { plot };
