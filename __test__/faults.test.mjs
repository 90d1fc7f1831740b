/** Runs every cell of the matrix of faults, and compares docs/reliability.md with the run. */

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { nameOf } from './faults/cell.mjs';
import { CELLS } from './faults/cells.mjs';
import { runMatrix } from './faults/matrix.mjs';
import { isMissing } from './faults/servers.mjs';
import { DOCUMENT, entryOf, readEntries } from './faults/table.mjs';

describe('faults', () => {
  const entries = readEntries();
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
    // A cell that reports nothing must not be waited for.
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
      assert.equal(
        entries.get(nameOf(cell)),
        entryOf(cell, came),
        `${DOCUMENT} differs from the run; \`npm run faults\` writes it anew`,
      );
    });
  }

  test('the document has an entry for each of these cells and no other', async () => {
    await running;
    const names = CELLS.map(nameOf);
    assert.deepEqual([...entries.keys()].sort(), [...names].sort());
    assert.equal(new Set(names).size, names.length);
  });
});
