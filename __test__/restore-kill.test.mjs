/** `restoreRepository` in a process that is killed: whatever it leaves, the next call is right, and nothing is left over. */

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { startScript } from './support/child.mjs';
import { startInSync, until } from './support/daemon.mjs';
import { makeGate } from './support/gate.mjs';
import { makeRemote, Repository } from './support/git.mjs';
import { processesIn } from './support/proc.mjs';
import {
  assertRestored,
  gatedSsh,
  makePlace,
  restoreRepository,
  setEnvironment,
} from './support/restore.mjs';

const MOMENTS = 10;

const HOST = `
  const onProgress = ({ phase }) => {
    if (phase === input.diesAt) process.kill(process.pid, 'SIGKILL');
  };
  tell(await restoreRepository({ ...input.options, onProgress }));`;

const PLACES = {
  'where there is nothing': makePlace,
  'in an empty directory': (t) => {
    const place = makePlace(t);
    mkdirSync(place.repoPath);
    return place;
  },
};

/** A remote whose pack takes many writes. */
function makeLarge(t) {
  const remote = makeRemote(t);
  for (let made = 0; made < 3; made += 1) {
    const noise = Array.from({ length: 4_000 }, () => Math.random().toString(36)).join('\n');
    remote.commit({ files: { [`noise-${made}`]: noise } });
  }
  return remote;
}

/** About what the remote sends for a clone, in bytes. */
function bytesOf(remote) {
  const [, kibibytes] = remote.git('count-objects', '-v').match(/^size: (\d+)$/m);
  return Number(kibibytes) * 1024;
}

async function assertNextIsRight(t, { volume, repoPath }, { remote, url }) {
  const { commit } = await restoreRepository({ repoPath, url, branch: 'main' });
  assert.equal(commit, remote.tip());
  await until('no process is left', () => processesIn(volume).length === 0);
  const repo = assertRestored({ volume, repoPath }, { tip: remote.tip(), url });
  assert.equal(repo.count(), remote.count());
  const daemon = await startInSync(t, { remote: 'origin', branch: 'main', repoPath });
  await daemon.stop();
}

for (const [where, make] of Object.entries(PLACES)) {
  describe(`the next call is right after a kill, ${where}`, () => {
    for (let moment = 0; moment < MOMENTS; moment += 1) {
      // Every other time, what the killed process had started goes on.
      const goesOn = moment % 2 === 1;
      test(`${moment} tenths into what the remote sends${goesOn ? ', which goes on' : ''}`, async (t) => {
        const remote = makeLarge(t);
        const place = make(t);
        const url = `ssh://host.example${remote.path}`;
        const gate = makeGate(t);
        const host = startScript(HOST, {
          input: { options: { repoPath: place.repoPath, url } },
          env: gatedSsh(t, gate, Math.round((bytesOf(remote) * moment) / MOMENTS)),
        });
        await gate.entered();
        host.kill();
        await host.ended;
        if (goesOn) gate.open();
        setEnvironment(t, gatedSsh(t));
        await assertNextIsRight(t, place, { remote, url });
        gate.open();
      });
    }

    test('while the clone is put in place', async (t) => {
      const remote = makeLarge(t);
      const place = make(t);
      const url = `file://${remote.path}`;
      const options = { repoPath: place.repoPath, url };
      await startScript(HOST, { input: { options, diesAt: 'storing' } }).ended;
      await assertNextIsRight(t, place, { remote, url });
    });
  });
}

test('a clone of which a part is in place is completed, whatever the part', async (t) => {
  const remote = makeRemote(t);
  remote.commit();
  const url = `file://${remote.path}`;
  for (let moved = 0, more = true; more; moved += 1) {
    const { volume, repoPath } = makePlace(t);
    await restoreRepository({ repoPath, url });
    // HEAD comes last: without it, there is no repository.
    const names = readdirSync(repoPath).filter((name) => name !== 'HEAD');
    const whole = path.join(repoPath, '.restoring', 'whole');
    mkdirSync(whole, { recursive: true });
    for (const name of [...names.slice(moved), 'HEAD']) {
      renameSync(path.join(repoPath, name), path.join(whole, name));
    }
    assert.throws(() => new Repository(repoPath).git('rev-parse', '--git-dir'));
    await assertNextIsRight(t, { volume, repoPath }, { remote, url });
    more = moved < names.length;
  }
});
