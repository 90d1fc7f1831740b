/**
 * ARCHITECTURE.md: each invariant names what holds it, and those that no other test holds are held here.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { macrotask, once, start, startInSync, until } from './support/daemon.mjs';
import { countConnections, gateHook } from './support/gate.mjs';
import { makePair, makeRemote } from './support/git.mjs';
import { Document } from './support/markdown.mjs';
import { hasTest, invariants } from './support/named-tests.mjs';

describe('each invariant names existing tests, or the rule of the compiler that holds it', () => {
  const all = invariants(new Document('ARCHITECTURE.md'));
  assert.notEqual(all.length, 0);

  for (const { name, tests, rules } of all) {
    test(name, () => {
      assert.notEqual(tests.length + rules, 0);
      for (const [file, title] of tests) {
        assert.ok(hasTest(file, title), `${file} has the test '${title}'`);
      }
    });
  }
});

test('at most one attempt is in flight, despite further commits and requests', async (t) => {
  const { repo, remote, options } = makePair(t);
  const gate = gateHook(t, remote);
  const connections = countConnections(t, repo);
  const daemon = await startInSync(t, options);
  const looked = connections();
  repo.commit();
  await gate.entered();
  repo.commit();
  const last = repo.commit();
  const flushed = daemon.flush();
  daemon.notifyCommit(last);
  await until('the commits are seen', () => daemon.status().localCommit === last);
  assert.equal(connections(), looked + 1);
  assert.equal((await gate.entered()).length, 1);
  gate.open();
  await flushed;
  assert.equal(remote.tip(), last);
});

test('the event loop keeps turning while an attempt hangs, whatever method is called', async (t) => {
  const { repo, remote, options } = makePair(t);
  const gate = gateHook(t, remote);
  const daemon = await startInSync(t, options);
  const commit = repo.commit();
  await gate.entered();
  const asked = [daemon.flush(), daemon.waitForPush(commit), daemon.stop()];
  for (let turned = 0; turned < 100; turned += 1) {
    daemon.notifyCommit();
    assert.equal(daemon.status().state, 'stopping');
    await macrotask();
  }
  // The attempt still waits: nothing above did.
  assert.notEqual(remote.tip(), commit);
  gate.open();
  await Promise.all(asked);
  assert.equal(remote.tip(), commit);
});

test('the daemon uses the environment of its start: later changes have no effect', async (t) => {
  const { repo, remote, options } = makePair(t);
  const elsewhere = makeRemote(t);
  const daemon = start(t, options);
  const setting = {
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'remote.origin.pushurl',
    GIT_CONFIG_VALUE_0: elsewhere.path,
  };
  Object.assign(process.env, setting);
  atEnd(t, () => {
    for (const name of Object.keys(setting)) delete process.env[name];
  });
  const pushed = once(daemon, 'push');
  const commit = repo.commit();
  await pushed;
  assert.equal(remote.tip(), commit);
  assert.equal(elsewhere.tip(), null);

  // A daemon that starts now takes it, so the setting does lead there.
  await daemon.stop();
  await once(start(t, options), 'push');
  assert.equal(elsewhere.tip(), commit);
});
