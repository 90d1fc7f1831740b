/** Places in which repositories are restored, and what a test compares before and after. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { atEnd } from './cleanup.mjs';
import { makeScript } from './gate.mjs';
import { makeDirectory, Repository } from './git.mjs';

const require = createRequire(import.meta.url);

export const { restoreRepository, RestoreError } = require('../../index.js');

/** A directory with room for `data.git`, which does not exist. */
export function makePlace(t) {
  const volume = makeDirectory(t);
  return { volume, repoPath: path.join(volume, 'data.git') };
}

/** Everything below a directory: kinds, modes, sizes, times and contents. */
export function snapshot(directory) {
  const entries = readdirSync(directory, { recursive: true }).sort();
  return entries.map((name) => {
    const file = path.join(directory, name);
    const stat = lstatSync(file);
    const content = stat.isSymbolicLink()
      ? readlinkSync(file)
      : stat.isFile() && createHash('sha1').update(readFileSync(file)).digest('hex');
    return [name, stat.mode, stat.size, stat.mtimeMs, stat.ino, content];
  });
}

/** Asserts that a repository is what a restore makes of a remote, and the only thing in its directory. */
export function assertRestored({ volume, repoPath }, { tip, branch = 'main', url }) {
  if (volume !== repoPath) assert.deepEqual(readdirSync(volume), [path.basename(repoPath)]);
  assert.deepEqual(
    readdirSync(repoPath).filter((name) => name.startsWith('.')),
    [],
  );
  const repo = new Repository(repoPath);
  repo.fsck();
  assert.equal(repo.tip(branch), tip);
  assert.equal(repo.git('symbolic-ref', 'HEAD'), `refs/heads/${branch}`);
  assert.equal(repo.git('config', 'core.bare'), 'true');
  assert.equal(repo.git('config', '--get-all', 'remote.origin.url'), url);
  assert.equal(
    repo.git('config', '--get-all', 'remote.origin.fetch'),
    '+refs/heads/*:refs/remotes/origin/*',
  );
  if (tip !== null) {
    assert.equal(repo.git('rev-parse', `refs/remotes/origin/${branch}`), tip);
  }
  return repo;
}

/** The error of a restore that fails, and that nothing has changed. */
export async function refused({ volume }, options) {
  const before = snapshot(volume);
  const error = await restoreRepository(options).then(
    (result) => assert.fail(`it did not fail: ${JSON.stringify(result)}`),
    (reason) => reason,
  );
  assert.ok(error instanceof RestoreError, `${error.stack}`);
  assert.deepEqual(snapshot(volume), before);
  assert.ok(error.hint.length > 0);
  return error;
}

/** Sets variables of the environment until the test ends. */
export function setEnvironment(t, env) {
  Object.assign(process.env, env);
  atEnd(t, () => {
    for (const name of Object.keys(env)) delete process.env[name];
  });
}

/**
 * The environment in which ssh is a program that runs on this machine what it is to run. With a gate, the remote's answer
 * waits there after so many bytes.
 */
export function gatedSsh(t, gate, bytes) {
  const waiting =
    gate === undefined
      ? ''
      : `| { dd bs=1 count=${bytes} 2>/dev/null; ${gate.lines.join('\n')}\nexec cat; }`;
  const ssh = makeScript(t, 'for command; do :; done', `sh -c "$command" ${waiting}`);
  return { GIT_SSH_COMMAND: ssh, GIT_SSH_VARIANT: 'ssh' };
}
