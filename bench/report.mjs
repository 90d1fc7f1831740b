/** Writes down what was measured: JSON for programs, tables and plots for people. */

import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { table, writeBetween } from '../scripts/markdown.mjs';
import { dotPlot, linePlot, shareBars } from './plot.mjs';
import { round } from './statistics.mjs';

export const PEERS = ['daemon', 'git push', 'spawning daemon', 'libgit2', 'floor'];

/** The steps of a push, in order, and what they are called in the plot. */
const STEPS = [
  ['notice', 'notice the ref'],
  ['connect', 'connect, advertisement'],
  ['look', 'compare tips'],
  ['pack', 'make the pack'],
  ['server', 'server until report'],
  ['settle', 'tracking ref, survey'],
  ['tell', 'event to JavaScript'],
];

const MARKS = ['<!-- measured -->', '<!-- /measured -->'];

const withUnit = (number, unit) => `${round(number)}${unit === '' ? '' : ` ${unit}`}`;

/** One line for each target. */
export function targetRows(cases) {
  return cases.flatMap(({ title, checks = [] }) =>
    checks.map(({ what, measured, limit, unit, isMet }) => [
      what === '' ? title : `${title}: ${what}`,
      `≤ ${withUnit(limit, unit)}`,
      withUnit(measured, unit),
      isMet ? 'yes' : '**no**',
    ]),
  );
}

const spread = (of) => (of === undefined ? '' : `${round(of.median)} ± ${round(of.mad)}`);

function medianRows(cases) {
  return cases
    .filter(({ medians }) => medians !== undefined)
    .map(({ title, medians }) => [
      title,
      medians.daemon.n,
      ...PEERS.map((peer) => spread(medians[peer])),
    ]);
}

function detailRows(cases) {
  return cases.flatMap(({ title, details = {} }) =>
    Object.entries(details).map(([what, of]) => [
      title,
      what,
      typeof of === 'number' ? round(of) : spread(of),
      typeof of === 'number' ? '' : round(of.p99),
      typeof of === 'number' ? '' : of.n,
    ]),
  );
}

function workRows(cases) {
  return cases
    .filter(({ work }) => work !== undefined)
    .map(({ title, work }) => [title, spread(work), round(work.p99), work.n]);
}

/** All tables, as they go into the page. */
export function markdown(results) {
  const { startedAt, durationMs, machine, load, stealPercent, skipped = [], cases } = results;
  const targets = targetRows(cases);
  const met = targets.filter((row) => row[3] === 'yes').length;
  const parts = [
    `Taken on ${startedAt.slice(0, 10)} in ${Math.round(durationMs / 1_000)} s: ${machine.processors}, ${machine.memoryGB} GB, ` +
      `${machine.system}, Node ${machine.node}, git ${machine.git}. Load ${load.before} before, ${load.after} after, steal ${stealPercent} %. ` +
      `${met} of ${targets.length} targets met.` +
      (skipped.length > 0 ? ` Left out of this run: ${skipped.join(', ')}.` : ''),
    table(['work', 'target', 'measured', 'met'], targets),
  ];
  const medians = medianRows(cases);
  if (medians.length > 0) {
    parts.push(
      'Pushes: the median in milliseconds ± the median deviation.',
      table(['case', 'n', ...PEERS], medians),
    );
  }
  const work = workRows(cases);
  if (work.length > 0) {
    parts.push(
      'Pieces of our own work, in milliseconds.',
      table(['what', 'median', 'p99', 'n'], work),
    );
  }
  const details = detailRows(cases);
  if (details.length > 0) {
    parts.push('What else was seen.', table(['case', 'what', 'median', 'p99', 'n'], details));
  }
  return parts.join('\n\n');
}

/** The plots that there are numbers for, by file name. */
export function plots(cases) {
  const all = {};
  const pushes = cases.filter(({ medians }) => medians !== undefined);
  if (pushes.length > 0) {
    all['pushes.svg'] = dotPlot({
      title: 'From the ref update to the confirmed push: median, and the middle half',
      unit: 'milliseconds, logarithmic',
      series: PEERS.filter((peer) => pushes.some(({ medians }) => medians[peer] !== undefined)),
      rows: pushes.map(({ title, medians }) => ({ name: title, values: medians })),
    });
  }
  const divided = cases.filter(({ steps }) => steps !== undefined);
  if (divided.length > 0) {
    all['steps.svg'] = shareBars({
      title: 'Where the time of one push goes: the median of each step',
      unit: 'ms',
      parts: STEPS.map(([, label]) => label),
      rows: divided.map(({ title, steps }) => ({
        name: title,
        values: STEPS.map(([step]) => steps[step]),
      })),
    });
  }
  const lines = ['sharded', 'flat']
    .map((layout) => ({
      name: layout,
      points: cases
        .filter((of) => of.work !== undefined && of.layout === layout)
        .map(({ files, work }) => [files, work.median]),
    }))
    .filter(({ points }) => points.length > 0);
  if (lines.length > 0) {
    all['client-work.svg'] = linePlot({
      title: 'Own client work of a one-file commit: advertisement parsed → pack ready',
      xUnit: 'files in the repository',
      yUnit: 'ms',
      lines,
    });
  }
  return all;
}

/** Writes the results to a folder. */
export function writeResults(folder, results) {
  mkdirSync(folder, { recursive: true });
  const write = (name, content) => writeFileSync(path.join(folder, name), content);
  write('results.json', `${JSON.stringify(results, null, 2)}\n`);
  write('results.md', `${markdown(results)}\n`);
  const drawn = plots(results.cases);
  for (const [name, svg] of Object.entries(drawn)) write(name, svg);
  return Object.keys(drawn);
}

/** Puts the tables and the plots between the marks of a page. */
export function updatePage(file, results, plotNames) {
  const images = plotNames.map((name) => `![${name}](results/${name})`).join('\n\n');
  writeBetween(file, MARKS, `\n\n${markdown(results)}\n\n${images}\n\n`);
}
