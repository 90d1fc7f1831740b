// An `ok` of the remote counts only if its branch is there.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { collect, ENDLESS_BACKOFF, FAST_BACKOFF, once, startInSync } from './support/daemon.mjs';
import { makeDirectory, makePair } from './support/git.mjs';

/**
 * A `proc-receive` hook that updates nothing, and answers each command with `ok` and these options: githooks(5),
 * gitprotocol-pack(5). `prepare` is run before, in the repository.
 */
function answerByHook(t, remote, options, prepare = '') {
  remote.git('config', 'receive.procReceiveRefs', 'refs/heads');
  const program = `
    const { execSync } = require('node:child_process');
    const { readSync, writeSync } = require('node:fs');
    const take = (length) => {
      const bytes = Buffer.alloc(length);
      for (let at = 0; at < length; ) at += readSync(0, bytes, at, length - at);
      return bytes.toString();
    };
    const read = () => {
      const length = parseInt(take(4), 16);
      return length === 0 ? null : take(length - 4).trim();
    };
    const section = () => {
      const lines = [];
      for (let line = read(); line !== null; line = read()) lines.push(line);
      return lines;
    };
    const write = (lines) => {
      const packets = lines.map((line) => (line.length + 4).toString(16).padStart(4, '0') + line);
      writeSync(1, packets.join('') + '0000');
    };
    section();
    write(['version=1\\0']);
    const answers = section().flatMap((command) => {
      const [old, next, ref] = command.split(' ');
      const prepared = ${JSON.stringify(prepare)}.replaceAll('<next>', next);
      if (prepared) execSync(prepared);
      return ['ok ' + ref, ...${JSON.stringify(options)}.map((option) => 'option ' + option)];
    });
    write(answers);`;
  const file = path.join(makeDirectory(t), 'answer.cjs');
  writeFileSync(file, program);
  remote.hook('proc-receive', `exec '${process.execPath}' '${file}'`);
}

/** The git command as a hook runs it. */
const GIT = 'env -u GIT_QUARANTINE_PATH git';

describe('a remote that accepts a push and', () => {
  test('stores it elsewhere is a remote-error and no push', async (t) => {
    const { repo, remote, options } = makePair(t);
    answerByHook(t, remote, ['refname refs/pull/1/head']);
    const daemon = await startInSync(t, { ...options, backoff: ENDLESS_BACKOFF });
    const seen = collect(daemon);
    const before = remote.tip();
    const tip = repo.commit();
    const { kind, commit, err } = await once(daemon, 'error');
    assert.deepEqual([kind, commit], ['remote-error', tip]);
    assert.match(err.message, new RegExp(`still at ${before}`));
    assert.deepEqual(seen.of('push'), []);
    assert.equal(daemon.status().pendingCommits, 1);
  });

  test('stores it elsewhere as well is a push', async (t) => {
    const { repo, remote, options } = makePair(t);
    const update = `${GIT} update-ref refs/heads/main <next>`;
    answerByHook(t, remote, ['refname refs/pull/1/head'], update);
    const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
    const seen = collect(daemon);
    const tip = repo.commit();
    await daemon.waitForPush(tip);
    assert.deepEqual(seen.names(), ['push']);
    assert.equal(remote.tip(), tip);
  });
});
