/**
 * ARCHITECTURE.md: each invariant names the tests that hold it, and those that no other test holds are held here: what
 * the sources must not do, and what a daemon must not do to the process that it is in.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ROOT } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import { macrotask, once, start, startInSync, until } from './support/daemon.mjs';
import { countConnections, gateHook } from './support/gate.mjs';
import { makePair, makeRemote } from './support/git.mjs';
import { Document } from './support/markdown.mjs';
import { hasTest, invariants } from './support/named-tests.mjs';

describe('each invariant names existing tests', () => {
  const all = invariants(new Document('ARCHITECTURE.md'));
  assert.notEqual(all.length, 0);

  for (const { name, tests } of all) {
    test(name, () => {
      assert.notEqual(tests.length, 0);
      for (const [file, title] of tests) {
        assert.ok(hasTest(file, title), `${file} has the test '${title}'`);
      }
    });
  }
});

describe('the sources', () => {
  const sources = readdirSync(path.join(ROOT, 'src'), { recursive: true })
    .filter((name) => name.endsWith('.rs'))
    .map((name) => ({
      name,
      // Without comments, and without the tests below the code.
      code: readFileSync(path.join(ROOT, 'src', name), 'utf8')
        .replace(/^ *\/\/.*$/gm, '')
        .replace(/^#\[cfg\(test\)\]\nmod \w+ \{.*?^\}$/gms, ''),
    }));
  const withWord = (word, among = sources) =>
    among.filter(({ code }) => word.test(code)).map(({ name }) => name);
  const partOf = (...parts) =>
    sources.filter(({ name }) =>
      parts.some((part) => name === `${part}.rs` || name.startsWith(`${part}${path.sep}`)),
    );
  const names = (list) => list.map(({ name }) => name);
  const isTest = ({ name }) => name.endsWith('tests.rs');

  test('name N-API in the binding only', () => {
    const found = withWord(/\bnapi(?:_derive)?(?:::|\b.*;)/);
    assert.notEqual(found.length, 0);
    assert.deepEqual(
      found.filter((name) => !names(partOf('binding')).includes(name)),
      [],
    );
  });

  test('name git2 in the repository and the pack only', () => {
    const found = withWord(/\bgit2::/);
    assert.notEqual(found.length, 0);
    assert.deepEqual(
      found.filter((name) => !names(partOf('repository', 'pack')).includes(name)),
      [],
    );
  });

  test('of the state machine read no clock and do no I/O', () => {
    const machine = partOf('state').filter((source) => !isTest(source));
    assert.ok(machine.length >= 2);
    const impure =
      /\bnow\(\)|std::(?:fs|net|process|env|thread|io)\b|\.await\b|\basync\b|tokio::(?!time::Instant)/;
    assert.deepEqual(withWord(impure, machine), []);
  });

  test('share nothing of the daemon but its published status', () => {
    const owner = partOf('state', 'daemon').filter((source) => !isTest(source));
    const shared = owner.flatMap(({ code }) =>
      code.split('\n').filter((line) => /\b(?:Mutex|RwLock)<|\bAtomic\w+\b|static mut/.test(line)),
    );
    assert.equal(shared.length, 1, shared.join('\n'));
    assert.match(shared[0], /\bstruct SharedStatus\b/);
  });

  test('fork nothing: no pre_exec', () => {
    assert.deepEqual(withWord(/\bpre_exec\b|\bfork\(/), []);
  });
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
