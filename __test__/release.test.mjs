/**
 * The release as its workflow makes it, up to a registry on loopback: the packages of the platforms, the one that depends
 * on them, and what a user's npm makes of both.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { publint } from 'publint';

import { Application } from './support/application.mjs';
import { ADDON, makeCheckout, manifestIn, PLATFORM } from './support/checkout.mjs';
import { ROOT } from './support/child.mjs';
import { makeDirectory } from './support/git.mjs';
import { Npm } from './support/npm.mjs';
import { startRegistry } from './support/registry.mjs';
import { contents, PACKAGE_FILES } from './support/tarball.mjs';

const LIMIT_MS = 180_000;

const NAME = 'git-push-daemon';
const { version: VERSION } = manifestIn(ROOT);

/** For whom each package of a platform is, as npm reads it. */
const PLATFORMS = {
  'darwin-arm64': { os: ['darwin'], cpu: ['arm64'] },
  'darwin-x64': { os: ['darwin'], cpu: ['x64'] },
  'linux-arm64-gnu': { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
  'linux-arm64-musl': { os: ['linux'], cpu: ['arm64'], libc: ['musl'] },
  'linux-x64-gnu': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'linux-x64-musl': { os: ['linux'], cpu: ['x64'], libc: ['musl'] },
  'win32-x64-msvc': { os: ['win32'], cpu: ['x64'] },
};

const OWN = `${NAME}-${PLATFORM}`;

/** Where none is prebuilt, there is nothing to install. */
const skip = PLATFORM in PLATFORMS ? false : `no package is published for ${PLATFORM}`;

/** Runs a script of the release in its checkout; what came of it. */
function release(checkout, script, args = [], env = {}) {
  const options = {
    cwd: checkout,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
    timeout: LIMIT_MS,
  };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [`scripts/release/${script}.mjs`, ...args],
      options,
      (error, out, err) => resolve({ ok: error === null, output: `${out}${err}` }),
    );
  });
}

async function succeeds(...args) {
  const { ok, output } = await release(...args);
  assert.ok(ok, output);
}

async function fails(words, ...args) {
  const { ok, output } = await release(...args);
  assert.ok(!ok);
  assert.match(output, words);
}

test('a release', { skip }, async (parent) => {
  const checkout = makeCheckout(parent, Object.keys(PLATFORMS));
  const registry = await startRegistry(parent);
  const npm = new Npm(parent, registry.url);

  await parent.test('is of packages for each platform, and one that depends on them', async () => {
    await succeeds(checkout, 'packages', [], {
      GITHUB_REPOSITORY: 'somebody/something',
      GITHUB_SERVER_URL: 'https://git.example.com',
    });
    for (const [platform, whom] of Object.entries(PLATFORMS)) {
      const { name, version, main, os, cpu, libc, license, engines, repository } = manifestIn(
        path.join(checkout, 'npm', platform),
      );
      assert.deepEqual(
        { name, version, main },
        {
          name: `${NAME}-${platform}`,
          version: VERSION,
          main: `git-push-daemon.${platform}.node`,
        },
      );
      assert.deepEqual({ os, cpu, libc }, { libc: undefined, ...whom });
      assert.deepEqual({ license, engines }, { license: 'MIT', engines: { node: '>=20' } });
      assert.match(repository.url, /git\.example\.com\/somebody\/something\.git$/);
    }
    const names = Object.keys(PLATFORMS).map((platform) => [`${NAME}-${platform}`, VERSION]);
    const { optionalDependencies, repository } = manifestIn(checkout);
    assert.deepEqual(optionalDependencies, Object.fromEntries(names));
    assert.match(repository.url, /git\.example\.com\/somebody\/something\.git$/);
  });

  await parent.test('has exactly these files', async (t) => {
    const folder = makeDirectory(t);
    const pack = async (directory) => {
      const told = await npm.run(directory, 'pack', '--pack-destination', folder, '--json');
      const [{ filename }] = JSON.parse(told);
      return contents(path.join(folder, filename));
    };
    assert.deepEqual(await pack(checkout), PACKAGE_FILES);
    assert.deepEqual(await pack(path.join(checkout, 'npm', PLATFORM)), [
      'LICENSE',
      'README.md',
      'THIRD-PARTY-LICENSES.txt',
      ADDON,
      'package.json',
    ]);
  });

  await parent.test('has nothing that publint minds', async () => {
    for (const pkgDir of [checkout, path.join(checkout, 'npm', PLATFORM)]) {
      const { messages } = await publint({ pkgDir, strict: true });
      assert.deepEqual(messages, [], pkgDir);
    }
  });

  await parent.test('is not packed with an addon, or without a dependency', async (t) => {
    const addon = path.join(checkout, ADDON);
    writeFileSync(addon, '');
    const withAddon = await npm.outcome(checkout, 'pack', '--pack-destination', makeDirectory(t));
    rmSync(addon);
    assert.match(withAddon.stderr, /would be in the package/);
    assert.notEqual(withAddon.error, null);

    const file = path.join(checkout, 'package.json');
    const whole = readFileSync(file, 'utf8');
    writeFileSync(file, whole.replace(new RegExp(`"${OWN}": "[^"]+"`), `"${OWN}": "0.0.0-other"`));
    const withOther = await npm.outcome(checkout, 'pack', '--pack-destination', makeDirectory(t));
    writeFileSync(file, whole);
    assert.match(withOther.stderr, /does not depend on the package of each platform/);
    assert.notEqual(withOther.error, null);
  });

  await parent.test(
    'is published, the platforms first; a second run publishes nothing',
    async () => {
      await succeeds(checkout, 'publish', [], npm.env);
      assert.deepEqual(
        registry.published.toSorted(),
        [NAME, ...Object.keys(PLATFORMS).map((platform) => `${NAME}-${platform}`)]
          .map((name) => `${name}@${VERSION}`)
          .sort(),
      );
      assert.equal(registry.published.at(-1), `${NAME}@${VERSION}`);
      await succeeds(checkout, 'publish', [], npm.env);
      assert.equal(registry.published.length, 8);
    },
  );

  await parent.test('is installed with the addon of this platform alone, and pushes', async (t) => {
    const application = new Application(t, npm);
    await application.install(NAME);
    assert.ok(application.has(OWN));
    const others = Object.keys(PLATFORMS).filter((platform) =>
      application.has(`${NAME}-${platform}`),
    );
    assert.deepEqual(others, [PLATFORM]);
    await application.pushes(t, 'common.cjs');
    application.linkDevelopment();
    application.compile();
    await application.pushes(t, 'dist/esm.js');
    await application.pushes(t, 'dist/subpaths.js');
  });

  await parent.test('has a lock file that serves every platform', async (t) => {
    const application = new Application(t, npm);
    const [os, cpu] = PLATFORM.startsWith('darwin') ? ['linux', 'x64'] : ['darwin', 'arm64'];
    await application.install(NAME, `--os=${os}`, `--cpu=${cpu}`);
    assert.ok(!application.has(OWN), 'this is as if installed elsewhere');
    for (const platform of Object.keys(PLATFORMS)) {
      const entry = application.lock[`node_modules/${NAME}-${platform}`];
      assert.equal(entry.version, VERSION);
      assert.equal(entry.optional, true);
    }
    await npm.run(application.directory, 'ci');
    await application.pushes(t, 'common.cjs');
  });

  await parent.test('that is installed without optional dependencies says so', async (t) => {
    const application = new Application(t, npm);
    await application.install(NAME, '--omit=optional');
    assert.ok(!application.has(OWN));
    const said = await npm.failingNode(application.directory, 'common.cjs');
    assert.match(said, new RegExp(`there is no package ${OWN}\\.`));
    assert.match(said, /--omit=optional/);
    // As it tells one to do.
    rmSync(path.join(application.directory, 'node_modules'), { recursive: true });
    await application.install();
    await application.pushes(t, 'common.cjs');
  });

  await parent.test('whose packages are tarballs is installed from both', async (t) => {
    const folder = makeDirectory(t);
    for (const directory of [checkout, path.join(checkout, 'npm', PLATFORM)]) {
      await npm.run(directory, 'pack', '--pack-destination', folder);
    }
    const alone = new Npm(t);
    const application = new Application(t, alone);
    const tarballs = [NAME, OWN].map((name) => path.join(folder, `${name}-${VERSION}.tgz`));
    await application.install('--offline', ...tarballs);
    await application.pushes(t, 'common.cjs');
  });
});

test('a registry that has only the main package gets a clear word, not a broken installation', {
  skip,
}, async (t) => {
  const checkout = makeCheckout(t, Object.keys(PLATFORMS));
  await succeeds(checkout, 'packages');
  const registry = await startRegistry(t);
  const npm = new Npm(t, registry.url);
  await npm.run(checkout, 'publish');
  const application = new Application(t, npm);
  await application.install(NAME);
  assert.ok(application.has(NAME));
  assert.match(
    await npm.failingNode(application.directory, 'common.cjs'),
    new RegExp(`there is no package ${OWN}\\.`),
  );
});

describe('a release is refused', { skip }, () => {
  test('where the build of a platform is missing', async (t) => {
    const [first, ...others] = Object.keys(PLATFORMS);
    await fails(
      new RegExp(`git-push-daemon\\.${first}\\.node`),
      makeCheckout(t, others),
      'packages',
    );
  });

  test('where a clone is published as it is', async (t) => {
    const registry = await startRegistry(t);
    const { error, stderr } = await new Npm(t, registry.url).outcome(
      makeCheckout(t, []),
      'publish',
    );
    assert.notEqual(error, null);
    assert.match(stderr, /release:packages" comes first/);
    assert.deepEqual(registry.published, []);
  });

  test('where tag, versions and changelog do not agree', async (t) => {
    const checkout = makeCheckout(t, []);
    const changelog = path.join(checkout, 'CHANGELOG.md');
    writeFileSync(changelog, '# Changelog\n\n## 0.0.1 - 2029-01-01\n\n- It began.\n');
    await fails(/CHANGELOG\.md has nothing under/, checkout, 'check', [`v${VERSION}`]);
    writeFileSync(changelog, `# Changelog\n\n## ${VERSION} - unreleased\n\n- It is there.\n`);
    await fails(/is unreleased/, checkout, 'check', [`v${VERSION}`]);
    writeFileSync(changelog, `# Changelog\n\n## ${VERSION} - 2030-01-01\n\n- It is there.\n`);
    await succeeds(checkout, 'check', [`v${VERSION}`]);
    await fails(/package\.json has version .*, and the tag is v9\.9\.9/, checkout, 'check', [
      'v9.9.9',
    ]);
    await fails(/the tag is v and a version/, checkout, 'check', [VERSION]);
    const toml = path.join(checkout, 'Cargo.toml');
    writeFileSync(
      toml,
      readFileSync(toml, 'utf8').replace(`version = "${VERSION}"`, 'version = "0.0.9"'),
    );
    await fails(/Cargo\.toml has version 0\.0\.9/, checkout, 'check', [`v${VERSION}`]);
  });
});
