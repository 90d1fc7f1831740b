/** The table of RELIABILITY.md: written from a run, between two marks. */

import { fileURLToPath } from 'node:url';

import { readBetween, writeBetween } from '../../scripts/markdown.mjs';
import { isExpected, nameOf, OUTCOMES } from './cell.mjs';
import { CELLS } from './cells.mjs';

const FILE = fileURLToPath(new URL('../../docs/reliability.md', import.meta.url));
const MARKS = ['<!-- faults: begin; written by `npm run faults` -->', '<!-- faults: end -->'];

/** The line of a cell, from what came. Where the server decides between kinds, all that it may choose are told. */
export function rowOf(cell, { kind: came, retried, outcome }) {
  const kind = isExpected(cell, came) ? cell.kind : came;
  const columns = [cell.fault, cell.phase || 'any', cell.transport, kind, retried];
  return `| ${[...columns, OUTCOMES[outcome], `\`${nameOf(cell)}\``].join(' | ')} |`;
}

/** @param {(string | undefined)[]} rows one for each cell, in their order */
function render(rows) {
  const places = [...new Set(CELLS.map(({ place }) => place))];
  const sections = places.map((place) => [
    `### ${place[0].toUpperCase()}${place.slice(1)}`,
    '',
    '| fault | phase | transport | kind | retried | outcome | test |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows.filter((_, index) => CELLS[index].place === place),
    '',
  ]);
  return [`${rows.filter(Boolean).length} cells.`, '', ...sections.flat()].join('\n');
}

/** The rows that the file has. */
export function rowsInFile() {
  const lines = readBetween(FILE, MARKS).split('\n');
  return lines.filter((line) => /^\| .* \| `.* · .*` \|$/.test(line));
}

export function write(rows) {
  writeBetween(FILE, MARKS, `\n\n${render(rows)}\n`);
}
