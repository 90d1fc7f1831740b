/** Runs a script of `bench/processes` in a Node process of its own, and returns the JSON that it printed. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const LIMIT_MS = 600_000;
const run = promisify(execFile);

/**
 * @param {string} script the name of the script, without its ending
 * @param {unknown} input what it reads as JSON from its argument
 */
export async function measureIn(script, input) {
  const file = fileURLToPath(new URL(`../processes/${script}.mjs`, import.meta.url));
  const { stdout } = await run(process.execPath, ['--expose-gc', file, JSON.stringify(input)], {
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  return JSON.parse(stdout);
}
