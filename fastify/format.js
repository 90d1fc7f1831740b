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

const BYTE_UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `812 bytes`, `3.4 KiB`, `120 MiB`: in the units of git, with one decimal below ten. */
function bytes(number) {
  let size = number;
  let unit = 0;
  while (size >= 1024 && unit < BYTE_UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  // Rounded down, so that 1023.9 KiB does not become 1024 KiB.
  const text = unit > 0 && size < 10 ? (Math.floor(size * 10) / 10).toFixed(1) : Math.floor(size);
  return `${text}${NO_BREAK}${BYTE_UNITS[unit]}`;
}

module.exports = { bytes, clock, count, duration, utc };
