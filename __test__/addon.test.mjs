/** Without a fitting native addon there is one error, with the expected addon and a remedy. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
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

/** The error message of a process that requires it on the given platform. */
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
    test(`${words}: the error names the missing package and the usual reasons`, (t) => {
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
    test(`${platform} ${arch}: the error says that there is no addon and how to build one`, (t) => {
      const glibc = platform === 'linux' ? GLIBC : undefined;
      const message = refusal(withoutAddon(t), { platform, arch, glibc });
      assert.match(message, new RegExp(`has no native addon for ${platform} ${arch}`));
      assert.match(message, /There is one for darwin-arm64, .*, win32-x64-msvc\./);
      assert.match(message, /built from source/);
    });
  }

  test('a clone without a build: the error says how to build it', (t) => {
    const message = refusal(withoutAddon(t, ['package.json', 'index.js', 'addon.js']));
    assert.match(message, /is not built here.*npm run setup/);
  });

  test('an addon that does not load: the error quotes the reason', (t) => {
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

  test('a stand-in for the addon: the error names its type', (t) => {
    const directory = withoutAddon(t);
    writeFileSync(path.join(directory, 'native.js'), 'module.exports = {};');
    assert.match(refusal(directory), /no addon, but of the type object.*a mock or a module map/s);
  });

  test('a platform package without its addon is not reported as missing', (t) => {
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

  test('a service exits with that error alone', (t) => {
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

/** The output of a process and its exit status. */
function outcomeOf(args, { node = process.execPath, env = {}, cwd } = {}) {
  const { status, stdout, stderr } = spawnSync(node, args, {
    cwd,
    encoding: 'utf8',
    timeout: LIMIT_MS,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: '', ...env },
  });
  return { status, stdout, stderr };
}

const LOADED = 'console.log(typeof startPushDaemon);\n';

describe('in a bundle', () => {
  const REMEDY = /does not load from a bundle.*--external:git-push-daemon.*externals.*node: true/s;

  /** Runs what esbuild makes of a service that uses the package. */
  async function runBundle(t, { format = 'cjs', ...options }) {
    const directory = makeDirectory(t);
    const entry = path.join(directory, 'service.mjs');
    mkdirSync(path.join(directory, 'node_modules'));
    symlinkSync(ROOT, path.join(directory, 'node_modules', 'git-push-daemon'));
    writeFileSync(entry, `import { startPushDaemon } from 'git-push-daemon';\n${LOADED}`);
    const file = path.join(directory, format === 'cjs' ? 'out/service.cjs' : 'out/service.mjs');
    const { build } = require('esbuild');
    await build({
      entryPoints: [entry],
      outfile: file,
      bundle: true,
      platform: 'node',
      format,
      logLevel: 'silent',
      ...options,
    });
    return outcomeOf([file]);
  }

  for (const [what, options] of [
    ["esbuild's file loader", { loader: { '.node': 'file' } }],
    ["esbuild's file loader into an ES module", { loader: { '.node': 'copy' }, format: 'esm' }],
    [
      'an ES module with a require of its own',
      {
        loader: { '.node': 'file' },
        format: 'esm',
        banner: {
          js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
        },
      },
    ],
    ['files of addons that are left out', { external: ['*.node'] }],
  ]) {
    test(`${what}: the error names the bundle and how to exclude the package`, async (t) => {
      const { status, stderr } = await runBundle(t, options);
      assert.equal(status, 1);
      assert.match(stderr, REMEDY);
      assert.doesNotMatch(stderr, /another C library/);
    });
  }

  for (const [what, options] of [
    ["esbuild's copy loader keeps the addon", { loader: { '.node': 'copy' } }],
    ['the package left out, as the error says', { external: ['git-push-daemon'] }],
  ]) {
    test(`${what}: it works`, async (t) => {
      const { stdout, stderr } = await runBundle(t, options);
      assert.equal(stdout, 'function\n', stderr);
    });
  }
});

describe('with flags that forbid addons', () => {
  const FOLDER = path.join(ROOT, '__test__', 'node-versions', 'node_modules');
  const others = existsSync(FOLDER)
    ? readdirSync(FOLDER).filter((name) => /^node-/.test(name))
    : [];
  const nodes = [process.execPath, ...others.map((name) => path.join(FOLDER, name, 'bin', 'node'))];
  const script = `const { startPushDaemon } = require(${JSON.stringify(ROOT)}); ${LOADED}`;

  for (const node of nodes) {
    const version = outcomeOf(['-p', 'process.versions.node'], { node }).stdout.trim();
    const has = (flag) =>
      outcomeOf(['-p', `process.allowedNodeEnvironmentFlags.has('${flag}')`], { node }).stdout ===
      'true\n';
    const permission = has('--permission') ? '--permission' : '--experimental-permission';

    function refusalOf(flags, options) {
      const { status, stderr } = outcomeOf([...flags, '-e', script], { node, ...options });
      assert.equal(status, 1, stderr);
      assert.match(stderr, /must not be loaded in this process/);
      assert.doesNotMatch(stderr, /another C library/);
      return stderr;
    }

    test(`Node ${version} with --no-addons, also in NODE_OPTIONS: the error says so`, () => {
      assert.match(refusalOf(['--no-addons']), /Start Node without --no-addons/);
      assert.match(
        refusalOf([], { env: { NODE_OPTIONS: '--no-addons' } }),
        /Start Node without --no-addons/,
      );
    });

    test(`Node ${version} with its permission model: the error names the flag, and the package works with it`, () => {
      const flags = [permission, '--allow-fs-read=*'];
      if (!has('--allow-addons')) {
        assert.match(refusalOf(flags), /it allows no addon: take a newer Node/);
        return;
      }
      assert.match(refusalOf(flags), /Start Node with --allow-addons/);
      const { stdout, stderr } = outcomeOf([...flags, '--allow-addons', '-e', script], { node });
      assert.equal(stdout, 'function\n', stderr);
    });
  }

  test('an addon that Node may not read is not reported as missing', (t) => {
    const directory = withoutAddon(t);
    const elsewhere = makeDirectory(t);
    const [name] = readdirSync(ROOT).filter((file) => file.endsWith('.node'));
    const platform = name.replace('git-push-daemon.', 'git-push-daemon-').replace('.node', '');
    mkdirSync(path.join(directory, 'node_modules'));
    symlinkSync(elsewhere, path.join(directory, 'node_modules', platform));
    writeFileSync(path.join(elsewhere, 'package.json'), '{ "main": "a.node" }');
    symlinkSync(path.join(ROOT, name), path.join(elsewhere, 'a.node'));
    const main = path.join(directory, 'main.js');
    writeFileSync(main, `require('./index.js');`);
    const permission = process.allowedNodeEnvironmentFlags.has('--permission')
      ? '--permission'
      : '--experimental-permission';
    const { stderr } = outcomeOf([
      permission,
      '--allow-addons',
      `--allow-fs-read=${directory}/*`,
      main,
    ]);
    assert.match(stderr, /--allow-fs-read=/);
    assert.doesNotMatch(stderr, /another C library|--omit=optional/);
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
