/** The table of RELIABILITY.md: written from a run, between two marks. */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { nameOf, OUTCOMES } from './cell.mjs';
import { CELLS } from './cells.mjs';

const FILE = fileURLToPath(new URL('../../RELIABILITY.md', import.meta.url));
const BEGIN = '<!-- faults: begin; written by `npm run faults` -->';
const END = '<!-- faults: end -->';

/** The line of a cell, from what came. */
export function rowOf(cell, { kind, retried, outcome }) {
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

function parts() {
  const text = readFileSync(FILE, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`${FILE} lacks its marks: ${BEGIN}, ${END}`);
  return [text.slice(0, begin + BEGIN.length), text.slice(end)];
}

/** The rows that the file has. */
export function rowsInFile() {
  const text = readFileSync(FILE, 'utf8');
  const table = text.slice(text.indexOf(BEGIN), text.indexOf(END));
  return table.split('\n').filter((line) => /^\| .* \| `.* · .*` \|$/.test(line));
}

export function write(rows) {
  const [before, after] = parts();
  writeFileSync(FILE, `${before}\n\n${render(rows)}\n${after}`);
}
