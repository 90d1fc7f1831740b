/** Runs cells one after the other in a process of its own, so that what each leaves behind can be told. */

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

// Whoever asks is gone: nothing may hold this process up.
process.on('disconnect', () => process.exit());
