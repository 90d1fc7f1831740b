/**
 * Stands between a push and the remote's `git receive-pack`, and lets through 64 KiB at a time: a slow link, for
 * `remote.<name>.receivepack`.
 */

import { spawn } from 'node:child_process';
import { setTimeout as after } from 'node:timers/promises';

const CHUNK_BYTES = 64 * 1024;

/** At most 3 MiB a second. */
const PAUSE_MS = 20;

const [repository] = process.argv.slice(2);
const receiver = spawn('git', ['receive-pack', repository], {
  stdio: ['pipe', 'inherit', 'inherit'],
});
receiver.once('close', (code) => process.exit(code ?? 1));
// It may end before it has read everything; its exit code says why.
receiver.stdin.on('error', () => {});

for await (const data of process.stdin) {
  for (let at = 0; at < data.length; at += CHUNK_BYTES) {
    receiver.stdin.write(data.subarray(at, at + CHUNK_BYTES));
    if (data.length >= CHUNK_BYTES) await after(PAUSE_MS);
  }
}
receiver.stdin.end();
