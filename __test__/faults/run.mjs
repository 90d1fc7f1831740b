/**
 * `npm run faults`: runs the whole matrix and writes its grids into docs/reliability.md. Fails if a cell does not end as
 * expected. With `--check` it writes nothing, and also fails if the document differs from the run.
 *
 * `npm run faults -- ssh mid-pack` runs only the cells whose names contain all of these words, and keeps the entries of
 * the others. `FAULTS_VERBOSE=1` shows the first error of each cell.
 */

import { nameOf } from './cell.mjs';
import { CELLS } from './cells.mjs';
import { RUNNABLE, runMatrix } from './matrix.mjs';
import { DOCUMENT, entryOf, readEntries, writeEntries } from './table.mjs';

const words = process.argv.slice(2).filter((argument) => argument !== '--check');
const isCheck = process.argv.includes('--check');
const chosen = RUNNABLE.filter((index) =>
  words.every((word) => nameOf(CELLS[index]).includes(word)),
);

const known = readEntries();
const entries = new Map(known);
const problems = [];
const startedAt = performance.now();
await runMatrix(({ index, name, came, problem, ms }) => {
  const message = process.env.FAULTS_VERBOSE && came?.message ? `: ${came.message}` : '';
  console.log(`${problem ? '✘' : '✔'} ${name} (${ms} ms)${message}`);
  if (problem) problems.push(`${name}\n${problem}`);
  // The document states what happened, even if it was not expected. A cell that did not finish has no entry.
  if (came) entries.set(name, entryOf(CELLS[index], came));
  else entries.delete(name);
}, chosen);

for (const name of entries.keys()) {
  if (!CELLS.some((cell) => nameOf(cell) === name)) entries.delete(name);
}
if (isCheck) {
  for (const name of new Set([...known.keys(), ...entries.keys()])) {
    const [before, after] = [known, entries].map((from) => from.get(name) ?? 'nothing');
    if (before !== after) problems.push(`${DOCUMENT} has ${before} for ${name}, not ${after}`);
  }
} else {
  writeEntries(entries);
  console.log(`${DOCUMENT} is written`);
}

for (const problem of problems) console.error(`\n${problem}`);
const seconds = Math.round((performance.now() - startedAt) / 1000);
console.log(`\n${chosen.length} cells in ${seconds} s, ${problems.length} problems`);
const areSkipped = process.env.CI === 'true' && RUNNABLE.length < CELLS.length;
if (areSkipped) console.error('in CI every cell must run');
process.exitCode = problems.length > 0 || chosen.length === 0 || areSkipped ? 1 : 0;
