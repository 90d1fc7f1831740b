/** How long `require` and `startPushDaemon` hold the JavaScript thread, the first time in a process. */

import { createRequire } from 'node:module';

const { repo } = JSON.parse(process.argv[2]);
const require = createRequire(import.meta.url);

const loadAt = performance.now();
const { startPushDaemon } = require('../../index.js');
const startAt = performance.now();
const daemon = startPushDaemon({ remote: 'origin', branch: 'main', repoPath: repo });
const startedAt = performance.now();
await daemon.stop({ timeoutMs: 0 });
process.stdout.write(JSON.stringify({ requireMs: startAt - loadAt, startMs: startedAt - startAt }));
