/** All cells, in the order of the table. */

import auth from './auth.mjs';
import idle from './idle.mjs';
import kept from './kept.mjs';
import local from './local.mjs';
import network from './network.mjs';
import processes from './process.mjs';
import remote from './remote.mjs';
import server from './server.mjs';

/** @type {import('./cell.mjs').Cell[]} */
export const CELLS = [
  ...network,
  ...server,
  ...auth,
  ...remote,
  ...local,
  ...processes,
  ...kept,
  ...idle,
];
