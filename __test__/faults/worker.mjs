/** Runs cells one after the other in a separate process, so that leftovers of each can be found. */

import { runCell, warmUp } from './cell.mjs';
import { CELLS } from './cells.mjs';

process.on('message', async ({ servers, index, transport }) => {
  try {
    if (transport) process.send({ came: await warmUp(transport, servers) });
    else process.send({ came: await runCell(CELLS[index], servers) });
  } catch (error) {
    process.send({ error: error.stack });
  }
});

// The parent has exited: end at once.
process.on('disconnect', () => process.exit());
