'use strict';

// Formats durations, times and counts for people.

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

/** Keeps a number and its unit on one line. */
const NO_BREAK = '\u00a0';

/** Two units at most: `840 ms`, `3.2 s`, `42 s`, `4 min 12 s`, `2 h 5 min`, `3 d 4 h`. */
function duration(ms) {
  if (ms < 1_000) return `${Math.floor(ms)}${NO_BREAK}ms`;
  if (ms < 10_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)}${NO_BREAK}s`;
  const first = UNITS.findIndex(([, size]) => ms >= size);
  return UNITS.slice(first, first + 2)
    .map(([unit, size], index) => {
      const larger = index === 0 ? Number.POSITIVE_INFINITY : UNITS[first][1];
      return [Math.floor((ms % larger) / size), unit];
    })
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${NO_BREAK}${unit}`)
    .join(' ');
}

/** `2026-03-01 14:05:09 UTC`, from what `Date` takes. */
function utc(at) {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** `14:05:09`, or with its date where that is another day than `now`. */
function clock(at, now) {
  const text = new Date(at).toISOString();
  const isToday = text.slice(0, 10) === new Date(now).toISOString().slice(0, 10);
  return isToday ? text.slice(11, 19) : text.slice(0, 19).replace('T', ' ');
}

/** `1 commit`, `1,204 commits`. */
function count(number, singular, plural = `${singular}s`) {
  return `${number.toLocaleString('en')} ${number === 1 ? singular : plural}`;
}

module.exports = { clock, count, duration, utc };
