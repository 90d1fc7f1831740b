/**
 * Installed as a user does it, in a folder outside of this repository, with neither a network nor a compiler: the tarball
 * that `npm pack` makes in a clone, which has the addon of this platform. What is published is in `release.test.mjs`.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { Application } from './support/application.mjs';
import { ROOT } from './support/child.mjs';
import { makeDirectory } from './support/git.mjs';
import { Npm } from './support/npm.mjs';
import { contents, PACKAGE_FILES } from './support/tarball.mjs';

const LIMIT_MS = 600_000;

/** The tarball as `npm pack` makes it, in its own words: with npm's own environment, as the addon may have to be built. */
function pack(t) {
  const folder = makeDirectory(t);
  execFileSync('npm', ['pack', '--pack-destination', folder], {
    cwd: ROOT,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    stdio: 'pipe',
    timeout: LIMIT_MS,
  });
  const [name] = readdirSync(folder);
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  assert.equal(name, `git-push-daemon-${version}.tgz`);
  return path.join(folder, name);
}

test('the tarball of a clone', async (parent) => {
  const tarball = pack(parent);

  await parent.test('has the files of the package and nothing else', () => {
    const [addon, ...others] = contents(tarball).filter((name) => name.endsWith('.node'));
    assert.match(addon, /^git-push-daemon\.[\w-]+\.node$/);
    assert.deepEqual(others, [], 'the addon of this platform alone');
    assert.deepEqual(contents(tarball), [...PACKAGE_FILES, addon].sort());
  });

  const application = new Application(parent, new Npm(parent));
  await application.install('--offline', tarball);

  await parent.test('installs no other package and runs no script', () => {
    assert.deepEqual(Object.keys(application.lock), ['', 'node_modules/git-push-daemon']);
    assert.equal(application.lock['node_modules/git-push-daemon'].hasInstallScript, undefined);
  });

  await parent.test('pushes from CommonJS', (t) => application.pushes(t, 'common.cjs'));

  await parent.test('compiles under strict settings, its subpaths too', () => {
    application.linkDevelopment();
    application.compile();
  });

  await parent.test('pushes from TypeScript as an ES module', (t) =>
    application.pushes(t, 'dist/esm.js'),
  );

  await parent.test('pushes from TypeScript as CommonJS', (t) =>
    application.pushes(t, 'dist/common.cjs'),
  );

  await parent.test('pushes from its subpaths', (t) => application.pushes(t, 'dist/subpaths.js'));

  await parent.test('is installed again from the lock file', async (t) => {
    await application.npm.run(application.directory, 'ci', '--offline');
    await application.pushes(t, 'common.cjs');
  });
});
