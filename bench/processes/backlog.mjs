/** Pushes a backlog, and tells how long it took and how far the resident memory rose above what it was before. */

import { readFileSync, writeFileSync } from 'node:fs';

import { DaemonPeer } from '../peers/daemon.mjs';
import { BRANCH } from '../repositories.mjs';

const { repo, tip } = JSON.parse(process.argv[2]);
/** Has the kernel begin its account of the peak anew. */
const RESET_PEAK = '5';

const kilobytes = (name) =>
  Number(
    readFileSync('/proc/self/status', 'utf8').match(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm'))[1],
  );

// A first push starts from a branch without commits.
const peer = await DaemonPeer.start({ repo }, { branch: BRANCH });
globalThis.gc();
writeFileSync('/proc/self/clear_refs', RESET_PEAK);
const before = kilobytes('VmRSS');
const took = await peer.push(tip);
const peakBytes = (kilobytes('VmHWM') - before) * 1024;
await peer.stop();
process.stdout.write(JSON.stringify({ took, peakBytes }));
