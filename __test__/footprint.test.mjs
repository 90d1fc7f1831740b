// The cost of a push for its process. It is counted, not timed, since a busy machine changes no count.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { startScript } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import { makeScript } from './support/gate.mjs';
import { git, makeDirectory, makePair } from './support/git.mjs';

const PUSHES = 3;

/** Reports its pushes once it is in sync. */
const HOST = `
  const daemon = startPushDaemon(input.options).ref();
  daemon.on('error', ({ err }) => tell({ failed: err.message }));
  daemon.on('push', ({ commit }) => tell({ commit }));
  const inSync = new Promise((resolve) => {
    const timer = setInterval(() => {
      if (daemon.status().state !== 'in-sync') return;
      clearInterval(timer);
      resolve();
    }, 2);
  });
`;

async function push(host, repo) {
  for (let made = 0; made < PUSHES; made += 1) {
    const tip = repo.commit();
    await host.untilTold(({ commit }) => commit === tip);
  }
}

describe('a push', () => {
  // A fork copies the page tables of the whole process, which blocks its event loop, and each page that is written later
  // costs a fault. Buffers and caches count, V8's own heap does not.
  test('does not fork the process, however much memory it has', async (t) => {
    const { repo, options } = makePair(t);
    const host = startScript(
      `${HOST}
       const { readFileSync } = require('node:fs');
       const { spawn } = require('node:child_process');
       const { once } = require('node:events');
       const PAGE = 4096;
       const memory = Buffer.alloc(128 * 1024 * 1024);
       const faults = () => Number(readFileSync('/proc/thread-self/stat', 'utf8').split(') ')[1].split(' ')[7]);
       /** The page faults that writing to all of the memory takes. */
       const faultsOfWriting = () => {
         const before = faults();
         for (let at = 0; at < memory.length; at += PAGE) memory[at] = (memory[at] + 1) & 255;
         return faults() - before;
       };
       faultsOfWriting();
       await inSync;
       tell({ ready: true });
       process.once('SIGUSR2', async () => {
         const ofPushes = faultsOfWriting();
         await once(spawn('true'), 'close');
         tell({ ofPushes, ofFork: faultsOfWriting() });
         await daemon.stop();
       });`,
      { input: { options } },
    );
    atEnd(t, () => host.kill());
    await host.untilTold(({ ready }) => ready);
    await push(host, repo);
    host.kill('SIGUSR2');
    const { ofPushes, ofFork } = await host.untilTold((told) => told.ofFork !== undefined);
    // Node's own spawn proves that the counter works.
    assert.ok(ofFork > 50, `${ofFork} faults after a fork`);
    assert.ok(ofPushes < ofFork / 4, `${ofPushes} faults after pushes, ${ofFork} after a fork`);
    assert.equal((await host.ended).code, 0);
  });

  test('to a repository on this machine starts git once: the receive-pack of the remote', async (t) => {
    const { repo, options } = makePair(t);
    const folder = path.join(makeDirectory(t), 'bin');
    const log = path.join(folder, 'log');
    mkdirSync(folder);
    // The programs that receive-pack starts are its own, found where git is installed.
    const real = path.join(git('/', '--exec-path'), 'git');
    const script = makeScript(t, `echo "$1" >>'${log}'`, `exec '${real}' "$@"`);
    symlinkSync(script, path.join(folder, 'git'));
    const host = startScript(
      `${HOST}
       await inSync;
       tell({ ready: true });
       process.once('SIGUSR2', () => daemon.stop());`,
      { input: { options }, env: { PATH: `${folder}${path.delimiter}${process.env.PATH}` } },
    );
    atEnd(t, () => host.kill());
    await host.untilTold(({ ready }) => ready);
    await push(host, repo);
    host.kill('SIGUSR2');
    const { code, told } = await host.ended;
    assert.equal(code, 0);
    assert.deepEqual(
      told.filter(({ failed }) => failed),
      [],
    );
    const started = readFileSync(log, 'utf8').trim().split('\n');
    assert.deepEqual(new Set(started), new Set(['receive-pack']));
    // One for each push, one for the look at the start, and one that may be kept ready for the next push.
    assert.ok(
      started.length >= PUSHES && started.length <= PUSHES + 2,
      `${started.length} started`,
    );
  });
});
