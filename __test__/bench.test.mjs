/** The benchmark's arithmetic, tables and plots, where an error would show as a wrong number. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { dotPlot, linePlot, logarithmicTicks, shareBars } from '../bench/plot.mjs';
import { markdown, plots, targetRows, updatePage } from '../bench/report.mjs';
import { copyShape, makeShape, setTip, tipOf } from '../bench/repositories.mjs';
import {
  median,
  medianDeviation,
  quantile,
  round,
  shuffled,
  summarize,
} from '../bench/statistics.mjs';
import { makeDirectory } from './support/git.mjs';

test('a median is the middle, or between the two in the middle, and takes any order', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([7]), 7);
});

test('a quantile lies between its neighbours', () => {
  assert.equal(quantile([0, 10, 20, 30], 0.25), 7.5);
  assert.equal(quantile([0, 10, 20, 30], 1), 30);
  assert.equal(quantile([0, 10, 20, 30], 0), 0);
});

test('one wild number moves neither the median nor its deviation', () => {
  assert.equal(medianDeviation([1, 2, 3, 4, 5]), 1);
  assert.equal(medianDeviation([1, 2, 3, 4, 5_000]), 1);
  const { n, median: middle, max } = summarize([1, 2, 3, 4, 5_000]);
  assert.deepEqual([n, middle, max], [5, 3, 5_000]);
});

test('nothing has no summary', () => {
  assert.throws(() => summarize([]), /nothing to summarize/);
});

test('a shuffle keeps everything, and takes every order', () => {
  const things = ['a', 'b', 'c'];
  const orders = new Set();
  // All values of a random source with three steps, in all pairs.
  for (const first of [0, 0.34, 0.67]) {
    for (const second of [0, 0.5]) {
      const values = [first, second];
      orders.add(shuffled(things, () => values.shift()).join(''));
    }
  }
  assert.deepEqual([...orders].sort(), ['abc', 'acb', 'bac', 'bca', 'cab', 'cba']);
});

test('numbers are written with three digits', () => {
  assert.deepEqual([0, 0.12345, 1.5, 12.345, 123.45, 12345.6, 0.0001].map(round), [
    '0',
    '0.123',
    '1.5',
    '12.3',
    '123',
    '12346',
    '0.0001',
  ]);
});

test('the ticks of a logarithmic axis are round and within it', () => {
  assert.deepEqual(logarithmicTicks(3, 120), [5, 10, 20, 50, 100]);
  assert.deepEqual(logarithmicTicks(0.5, 2_000_000), [1, 10, 100, 1e3, 1e4, 1e5, 1e6]);
});

const spread = (value) => ({ n: 30, median: value, mad: 1, p25: value - 1, p75: value + 1 });

/** The positions of the dots of a plot. */
const dots = (svg, attribute) =>
  [...svg.matchAll(new RegExp(`<circle[^>]* ${attribute}="([\\d.]+)"`, 'g'))].map(([, at]) =>
    Number(at),
  );

test('a dot lies further right the slower the peer, at the same distance for the same ratio', () => {
  const svg = dotPlot({
    title: 'Pushes <&>',
    unit: 'ms',
    series: ['a', 'b', 'c', 'd'],
    rows: [{ name: 'row', values: { a: spread(10), b: spread(100), c: spread(1_000) } }],
  });
  const [a, b, c] = dots(svg, 'cx');
  assert.equal(dots(svg, 'cx').length, 3, 'no dot where there is no number');
  assert.ok(a < b && b < c);
  assert.ok(Math.abs(b - a - (c - b)) < 0.3, `${a} ${b} ${c}`);
  assert.match(svg, /Pushes &#60;&#38;&#62;/);
});

test('the parts of a bar are as wide as their shares', () => {
  const rows = [{ name: 'row', values: [1, 3, 0] }];
  const svg = shareBars({ title: 'Steps', unit: 'ms', parts: ['a', 'b', 'c'], rows });
  const widths = [...svg.matchAll(/width="([\d.]+)" height="20"/g)].map(([, width]) =>
    Number(width),
  );
  assert.equal(widths.length, 3);
  assert.ok(Math.abs(widths[1] / widths[0] - 3) < 0.01, widths.join());
  assert.equal(widths[2], 0);
  assert.match(svg, />4\.0 ms</);
});

test('a line rises with its values', () => {
  const svg = linePlot({
    title: 'Work',
    xUnit: 'files',
    yUnit: 'ms',
    lines: [
      {
        name: 'flat',
        points: [
          [1_000, 0.1],
          [1_000_000, 50],
        ],
      },
    ],
  });
  const [first, last] = dots(svg, 'cy');
  assert.ok(last < first, 'the axis points up');
  assert.match(svg, />1M</);
});

const RESULTS = {
  startedAt: '2026-11-24T12:00:00.000Z',
  durationMs: 61_000,
  machine: { node: 'v20', git: '2', system: 'Linux', processors: '2 × CPU', memoryGB: 8 },
  load: { before: 0.5, after: 1.5 },
  stealPercent: 0.1,
  cases: [
    {
      title: 'local',
      medians: { daemon: spread(20), 'git push': spread(50) },
      steps: { notice: 1, connect: 2, look: 1, pack: 1, server: 10, settle: 2, tell: 1, client: 2 },
      checks: [
        { what: 'of git push', measured: 0.4, limit: 0.75, unit: '×', isMet: true },
        { what: 'of the floor', measured: 1.3, limit: 1.15, unit: '×', isMet: false },
      ],
    },
    { title: 'work', work: { ...spread(3), p99: 9 }, files: 1_000, layout: 'flat', checks: [] },
  ],
};

test('a table has a line for each target, met or not', () => {
  assert.deepEqual(targetRows(RESULTS.cases), [
    ['local: of git push', '≤ 0.75 ×', '0.4 ×', 'yes'],
    ['local: of the floor', '≤ 1.15 ×', '1.3 ×', '**no**'],
  ]);
  assert.match(markdown(RESULTS), /1 of 2 targets met/);
});

test('the page names the cases that were left out', () => {
  assert.doesNotMatch(markdown(RESULTS), /Left out/);
  const less = { ...RESULTS, skipped: ['burst-ssh', 'client-1M-flat'] };
  assert.match(markdown(less), /Left out of this run: burst-ssh, client-1M-flat\./);
});

/** The elements of a document that are opened and not closed, or closed out of turn. */
function unclosed(svg) {
  const open = [];
  for (const [, end, name, empty] of svg.matchAll(/<(\/?)([a-z]+)[^<>]*?(\/?)>/g)) {
    if (end === '/') {
      if (open.pop() !== name) return [`</${name}>`];
    } else if (empty === '') open.push(name);
  }
  return open;
}

test('every plot is well-formed, and no plot lacks numbers', () => {
  const drawn = plots(RESULTS.cases);
  assert.deepEqual(Object.keys(drawn), ['pushes.svg', 'steps.svg', 'client-work.svg']);
  for (const [name, svg] of Object.entries(drawn)) {
    assert.ok(!/NaN|undefined|Infinity/.test(svg), name);
    assert.deepEqual(unclosed(svg), [], name);
  }
  assert.deepEqual(plots([]), {});
});

test('updating a page repeatedly keeps everything outside the marks', (t) => {
  const file = path.join(makeDirectory(t), 'README.md');
  writeFileSync(file, 'above\n<!-- measured -->\nold\n<!-- /measured -->\nbelow\n');
  updatePage(file, RESULTS, ['pushes.svg']);
  const once = readFileSync(file, 'utf8');
  assert.match(once, /^above\n/);
  assert.match(once, /\nbelow\n$/);
  assert.match(once, /!\[pushes\.svg\]\(results\/pushes\.svg\)/);
  assert.doesNotMatch(once, /old/);
  updatePage(file, RESULTS, ['pushes.svg']);
  assert.equal(readFileSync(file, 'utf8'), once);
});

test('a repository for a measurement agrees with its remote, and has its next commits ready', (t) => {
  const shape = makeShape(t, { files: 30, layout: 'flat', branches: 3, commits: 4 });
  const place = copyShape(t, shape);
  assert.equal(tipOf(place.repo), tipOf(place.remote));
  assert.equal(shape.chain.length, 4);
  setTip(place.repo, shape.chain[3]);
  const git = (directory, ...args) =>
    execFileSync('git', args, { cwd: directory, encoding: 'utf8' }).trim();
  git(place.repo, 'fsck', '--strict', '--no-progress');
  assert.equal(git(place.repo, 'rev-list', '--count', `${shape.base}..main`), '4');
  assert.equal(git(place.repo, 'ls-tree', '-r', '--name-only', 'main').split('\n').length, 30);
  assert.equal(git(place.remote, 'for-each-ref', 'refs/heads/topic').split('\n').length, 3);
  assert.equal(git(place.repo, 'diff', '--name-only', 'main~1', 'main').split('\n').length, 1);
  assert.equal(tipOf(shape.local), shape.base, 'a copy is moved alone');
});

test('the README states the measured speed', () => {
  const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
  const [, ...said] = /(\d+) to (\d+) times faster than with\s+`git push`/.exec(read('README.md'));
  const ratios = JSON.parse(read('bench/results/results.json'))
    .cases.filter(({ name }) => name.startsWith('ssh-kept-'))
    .map(({ checks }) => checks.find(({ what }) => what === 'of git push').measured);
  assert.ok(ratios.length >= 4);
  // The time of `git push` in the daemon's, rounded so that it promises no more than was measured at the low end.
  const measured = [Math.floor(1 / Math.max(...ratios)), Math.round(1 / Math.min(...ratios))];
  assert.deepEqual(said.map(Number), measured);
});
