/** Where no native addon fits: one error, which says what was looked for and what to do. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ROOT } from './support/child.mjs';
import { makeDirectory } from './support/git.mjs';

const require = createRequire(import.meta.url);

const LIMIT_MS = 60_000;

/** The package without its addon, in a folder of its own. */
function withoutAddon(t, files = ['package.json', 'index.js', 'addon.js', 'native.js']) {
  const directory = makeDirectory(t);
  for (const file of files) copyFileSync(path.join(ROOT, file), path.join(directory, file));
  return directory;
}

/** What the process says that requires it, on the platform that is given. */
function refusal(directory, { platform = process.platform, arch = process.arch, glibc } = {}) {
  const source = `
    Object.defineProperty(process, 'platform', { value: ${JSON.stringify(platform)} });
    Object.defineProperty(process, 'arch', { value: ${JSON.stringify(arch)} });
    const answer = ${JSON.stringify(glibc)};
    if (answer !== undefined) {
      // As in an image without the ldd command: the loader asks Node itself then.
      const { readFileSync } = require('node:fs');
      require('node:fs').readFileSync = (file, ...rest) => {
        if (file === '/usr/bin/ldd') throw new Error('ENOENT');
        return readFileSync(file, ...rest);
      };
      process.report.getReport = () => answer;
    }
    try { require(${JSON.stringify(directory)}); }
    catch ({ code, message, cause }) { console.log(JSON.stringify({ code, message, cause: String(cause) })); }
  `;
  const output = execFileSync(process.execPath, ['-e', source], {
    encoding: 'utf8',
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    timeout: LIMIT_MS,
  });
  const { code, message, cause } = JSON.parse(output);
  assert.equal(code, 'ERR_PUSH_DAEMON_ADDON_NOT_LOADED');
  assert.ok(cause.length > 0);
  return message;
}

const GLIBC = { header: { glibcVersionRuntime: '2.36' }, sharedObjects: [] };
const MUSL = { header: {}, sharedObjects: ['/lib/ld-musl-x86_64.so.1'] };

describe('without an addon', () => {
  for (const [platform, arch, glibc, name, words] of [
    ['linux', 'x64', GLIBC, 'linux-x64-gnu', 'linux x64 with glibc 2.36'],
    ['linux', 'arm64', GLIBC, 'linux-arm64-gnu', 'linux arm64 with glibc 2.36'],
    ['linux', 'x64', MUSL, 'linux-x64-musl', 'linux x64 without glibc'],
    ['linux', 'arm64', MUSL, 'linux-arm64-musl', 'linux arm64 without glibc'],
    ['darwin', 'x64', undefined, 'darwin-x64', 'darwin x64'],
    ['darwin', 'arm64', undefined, 'darwin-arm64', 'darwin arm64'],
    ['win32', 'x64', undefined, 'win32-x64-msvc', 'win32 x64'],
  ]) {
    test(`${words} is told which package is missing, and why it usually is`, (t) => {
      const message = refusal(withoutAddon(t), { platform, arch, glibc });
      assert.match(message, new RegExp(`is not installed for ${words}:`));
      assert.match(message, new RegExp(`there is no package git-push-daemon-${name}\\.`));
      assert.match(message, /--omit=optional/);
      assert.match(message, /package-lock\.json or node_modules/);
      assert.match(message, /built from source/);
    });
  }

  for (const [platform, arch] of [
    ['freebsd', 'x64'],
    ['linux', 'riscv64'],
    ['linux', 'mips'],
    ['aix', 'ppc64'],
  ]) {
    test(`${platform} ${arch} is told that there is none, and how to build it`, (t) => {
      const glibc = platform === 'linux' ? GLIBC : undefined;
      const message = refusal(withoutAddon(t), { platform, arch, glibc });
      assert.match(message, new RegExp(`has no native addon for ${platform} ${arch}`));
      assert.match(message, /There is one for darwin-arm64, .*, win32-x64-msvc\./);
      assert.match(message, /built from source/);
    });
  }

  test('a clone that is not built is told to build it', (t) => {
    const message = refusal(withoutAddon(t, ['package.json', 'index.js', 'addon.js']));
    assert.match(message, /is not built here.*npm run setup/);
  });

  test('one that cannot be loaded here is quoted', (t) => {
    const directory = withoutAddon(t);
    const [name] = readFileSync(path.join(ROOT, 'native.js'), 'utf8').match(
      new RegExp(`git-push-daemon\\.${process.platform}-${process.arch}[\\w-]*\\.node`),
    );
    // Both names that there may be for this platform.
    for (const file of [name, name.replace('musl', 'gnu')]) {
      writeFileSync(path.join(directory, file), 'not an addon');
    }
    const message = refusal(directory);
    assert.match(message, /is there, but does not load on/);
    assert.ok(message.includes(path.join(directory, 'git-push-daemon.')), message);
    assert.match(message, /another C library/);
  });

  test('a package of the platform whose addon has gone missing is not called absent', (t) => {
    const directory = withoutAddon(t);
    for (const abi of ['gnu', 'musl', 'msvc', '']) {
      const name = ['git-push-daemon', process.platform, process.arch, abi].filter(Boolean);
      const place = path.join(directory, 'node_modules', name.join('-'));
      mkdirSync(place, { recursive: true });
      writeFileSync(
        path.join(place, 'package.json'),
        '{ "version": "0.0.0", "main": "gone.node" }',
      );
    }
    assert.match(refusal(directory), /is there, but does not load on.*gone\.node/s);
  });

  test('a service ends with that error and nothing else to look for', (t) => {
    const directory = withoutAddon(t);
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', `await import(${JSON.stringify(`${directory}/index.js`)});`],
      {
        encoding: 'utf8',
        timeout: LIMIT_MS,
        env: { ...process.env, NODE_TEST_CONTEXT: undefined },
      },
    );
    assert.equal(status, 1);
    assert.match(stderr, /^Error: The native addon of git-push-daemon is not installed/m);
  });
});

test('the prebuilt platforms that the error lists are those of the build', () => {
  const source = readFileSync(path.join(ROOT, 'addon.js'), 'utf8');
  const [, list] = /const PREBUILT = \[([^\]]*)\]/.exec(source);
  const listed = [...list.matchAll(/'([\w-]+)'/g)].map(([, name]) => name);
  const { parseTriple } = require('@napi-rs/cli');
  const { napi } = require('../package.json');
  assert.deepEqual(
    listed,
    napi.targets.map((triple) => parseTriple(triple).platformArchABI).sort(),
  );
});
