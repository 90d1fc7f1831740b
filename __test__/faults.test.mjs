/** The matrix of faults: every cell of RELIABILITY.md, run anew, and the file held against the run. */

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { nameOf } from './faults/cell.mjs';
import { CELLS } from './faults/cells.mjs';
import { runMatrix } from './faults/matrix.mjs';
import { isMissing } from './faults/servers.mjs';
import { rowOf, rowsInFile } from './faults/table.mjs';

describe('faults', () => {
  const results = CELLS.map(() => {
    const result = {};
    result.known = new Promise((resolve) => {
      result.tell = resolve;
    });
    return result;
  });
  let running;

  before(() => {
    running = runMatrix((result) => results[result.index].tell(result));
    // Cells that were never told of must not be waited for.
    running
      .catch(() => {})
      .finally(() => {
        for (const { tell } of results) tell({ problem: 'it was not run' });
      });
  });

  for (const [index, cell] of CELLS.entries()) {
    test(nameOf(cell), { skip: isMissing(cell.transport) }, async () => {
      const { problem, came } = await results[index].known;
      if (problem) assert.fail(problem);
      assert.ok(
        rowsInFile().includes(rowOf(cell, came)),
        `RELIABILITY.md says otherwise (npm run faults): ${rowOf(cell, came)}`,
      );
    });
  }

  test('RELIABILITY.md has these cells, each once, and no other', async () => {
    await running;
    const names = rowsInFile().map((row) => row.match(/`(.*)` \|$/)[1]);
    assert.deepEqual(names, CELLS.map(nameOf));
    assert.equal(new Set(names).size, names.length);
  });
});
