/** A run of the matrix, which compares each cell's result with the expected one. */

import { makeScope } from '../support/cleanup.mjs';
import { isExpected, nameOf } from './cell.mjs';
import { CELLS } from './cells.mjs';
import { runCells } from './pool.mjs';
import { isMissing, startServers } from './servers.mjs';

/** Processes that run cells: most of a cell's time is waiting. */
const PROCESSES = 4;

/** The cells that can run here, by their index. */
export const RUNNABLE = [...CELLS.keys()].filter((index) => !isMissing(CELLS[index].transport));

/** How a cell's result differs from the expected one; `undefined` if it does not. */
function difference(cell, { came, error }) {
  if (error !== undefined) return error;
  if (isExpected(cell, came.kind) && came.outcome === cell.outcome) return undefined;
  const [expected, found] = [cell, came].map(({ kind, outcome }) => `${kind}, ${outcome}`);
  return `expected: ${expected}; came: ${found}${came.message ? `\n${came.message}` : ''}`;
}

/**
 * Runs cells.
 *
 * @param {(result: {index: number, name: string, came?: object, problem?: string, ms: number}) => void} tell
 * @param {number[]} indices
 */
export async function runMatrix(tell, indices = RUNNABLE) {
  const scope = makeScope();
  const end = () => scope.end().finally(() => process.exit(1));
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, end);
  try {
    const servers = await startServers(scope);
    await runCells(indices, servers, PROCESSES, (index, answer) => {
      const cell = CELLS[index];
      const { came, ms } = answer;
      tell({ index, name: nameOf(cell), came, ms, problem: difference(cell, answer) });
    });
  } finally {
    await scope.end();
    for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, end);
  }
}
