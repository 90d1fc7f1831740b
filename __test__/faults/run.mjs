/**
 * `npm run faults`: runs the whole matrix and writes its table into RELIABILITY.md. Fails where a cell did not do what
 * is expected of it. With `--check` nothing is written, and a difference between the file and the run fails as well.
 *
 * `npm run faults -- ssh mid-pack` runs only the cells whose names have all of these words, and leaves the lines of the
 * others as they are. With `FAULTS_VERBOSE=1` each cell's first error is shown.
 */

import { nameOf } from './cell.mjs';
import { CELLS } from './cells.mjs';
import { RUNNABLE, runMatrix } from './matrix.mjs';
import { rowOf, rowsInFile, write } from './table.mjs';

const words = process.argv.slice(2).filter((argument) => argument !== '--check');
const isCheck = process.argv.includes('--check');
const chosen = RUNNABLE.filter((index) =>
  words.every((word) => nameOf(CELLS[index]).includes(word)),
);

const rows = [];
const problems = [];
const startedAt = performance.now();
await runMatrix(({ index, name, came, problem, ms }) => {
  const said = process.env.FAULTS_VERBOSE && came?.message ? `: ${came.message}` : '';
  console.log(`${problem ? '✘' : '✔'} ${name} (${ms} ms)${said}`);
  if (came) rows[index] = rowOf(CELLS[index], came);
  if (problem) problems.push(`${name}\n${problem}`);
}, chosen);

if (isCheck) {
  const known = new Set(rowsInFile());
  for (const row of rows)
    if (row && !known.has(row)) problems.push(`not in RELIABILITY.md:\n${row}`);
  const isWhole = chosen.length === CELLS.length;
  if (isWhole && known.size !== CELLS.length) {
    problems.push(`RELIABILITY.md has ${known.size} cells, and there are ${CELLS.length}`);
  }
} else {
  // Also where something is not as expected: the table is what came. A cell that did not come to an end has no line.
  const ran = new Set(chosen);
  const before = new Map(rowsInFile().map((row) => [row.match(/`(.*)` \|$/)[1], row]));
  for (const [index, cell] of CELLS.entries()) {
    if (!ran.has(index) && before.has(nameOf(cell))) rows[index] = before.get(nameOf(cell));
  }
  write(rows);
  console.log('RELIABILITY.md is written');
}

for (const problem of problems) console.error(`\n${problem}`);
const seconds = Math.round((performance.now() - startedAt) / 1000);
console.log(`\n${chosen.length} cells in ${seconds} s, ${problems.length} problems`);
const areSkipped = process.env.CI === 'true' && RUNNABLE.length < CELLS.length;
if (areSkipped) console.error('in CI every cell must run');
process.exitCode = problems.length > 0 || chosen.length === 0 || areSkipped ? 1 : 0;
