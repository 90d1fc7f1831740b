/**
 * The grids of docs/reliability.md, written from a run between two marks: a row for each fault and phase, a column for
 * each transport.
 */

import { fileURLToPath } from 'node:url';

import { readBetween, table, writeBetween } from '../../scripts/markdown.mjs';
import { isExpected, nameOf } from './cell.mjs';
import { CELLS } from './cells.mjs';
import { TRANSPORTS } from './site.mjs';

export const DOCUMENT = 'docs/reliability.md';

const FILE = fileURLToPath(new URL(`../../${DOCUMENT}`, import.meta.url));
const MARKS = ['<!-- faults: begin; written by `npm run faults` -->', '<!-- faults: end -->'];

const HEAD = ['fault', 'phase', ...TRANSPORTS.map((name) => (name === 'git' ? 'git://' : name))];

/** The part of an entry that follows the kind. */
const SUFFIX = { retry: '', found: ', found', person: ', person' };

/** The entry of a cell, from what happened. Where the server's timing decides the kind, it lists every possible kind. */
export function entryOf(cell, { kind: came, outcome }) {
  if (outcome === 'pushed') return came === 'none' ? 'ok' : `${came}, pushed`;
  if (outcome === 'restored') return outcome;
  return `${isExpected(cell, came) ? cell.kind : came}${SUFFIX[outcome]}`;
}

const rowOf = ({ fault, phase }) => `${fault} | ${phase || 'any'}`;

/** @param {Map<string, string>} entries by the names of their cells */
function render(entries) {
  const places = [...new Set(CELLS.map(({ place }) => place))];
  const sections = places.flatMap((place) => {
    const cells = CELLS.filter((cell) => cell.place === place);
    const lines = [...new Set(cells.map(rowOf))].map((row) => {
      const inRow = cells.filter((cell) => rowOf(cell) === row);
      const entryFor = (transport) => {
        const cell = inRow.find((candidate) => candidate.transport === transport);
        return (cell && entries.get(nameOf(cell))) ?? '';
      };
      return [row, ...TRANSPORTS.map(entryFor)];
    });
    const title = `### ${place[0].toUpperCase()}${place.slice(1)}`;
    return [title, '', table(HEAD, lines), ''];
  });
  return [`${entries.size} cells.`, '', ...sections].join('\n');
}

/** The entries that the document has, by the names of their cells. */
export function readEntries() {
  const rows = readBetween(FILE, MARKS)
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (?:fault|---) \|/.test(line))
    .map((line) => line.slice(2, -2).split(' | '));
  const named = rows.flatMap(([fault, phase, ...entries]) =>
    entries.map((entry, index) => {
      const cell = { fault, phase: phase === 'any' ? '' : phase, transport: TRANSPORTS[index] };
      return [nameOf(cell), entry.trim()];
    }),
  );
  return new Map(named.filter(([, entry]) => entry !== ''));
}

/** Writes the grids; the cells without an entry stay empty. */
export function writeEntries(entries) {
  writeBetween(FILE, MARKS, `\n\n${render(entries)}\n`);
}
