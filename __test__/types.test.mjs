/** The types: index.d.ts and code that uses it, under the compiler's strictest settings. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';

import { ROOT } from './support/child.mjs';

const require = createRequire(import.meta.url);
const TYPES = path.join(ROOT, '__test__', 'types');

/** Only a hang reaches this limit. */
const LIMIT_MS = 180_000;

/** The version that most users have, and the newest. */
const COMPILERS = ['typescript', 'typescript-newest'];

/** The output of a TypeScript compiler, which is empty if all is well. */
function compile(name, ...args) {
  const compiler = path.join(ROOT, 'node_modules', name, 'bin', 'tsc');
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [compiler, '--pretty', 'false', ...args],
      { cwd: ROOT, timeout: LIMIT_MS, killSignal: 'SIGKILL' },
      (error, stdout, stderr) =>
        resolve(error === null ? '' : `${stdout}${stderr}` || String(error)),
    );
  });
}

for (const name of COMPILERS) {
  test(`the contract and the code of its users compile, with ${name}`, async () => {
    assert.equal(await compile(name, '-p', 'tsconfig.json'), '');
  });
}

test("a bundler's module resolution finds the types too", async () => {
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--noEmit', '--types', 'node'];
  const bundled = ['--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler'];
  const files = ['boot.mts', 'metrics.mts'].map((file) => path.join(TYPES, file));
  assert.equal(await compile('typescript', ...strict, ...bundled, ...files), '');
});

test('the module exports the values that the types declare', async () => {
  const contract = readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8');
  const declared = [...contract.matchAll(/^export (?:declare )?(?:function|class|const) (\w+)/gm)];
  const exported = await import('../index.js');
  assert.notEqual(declared.length, 0);
  for (const [, name] of declared) assert.equal(typeof exported[name], 'function', name);
});

test('the handle has the methods that the types declare', () => {
  const contract = readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8');
  const [, body] = contract.match(/^export interface PushDaemon extends [^{]*\{\n(.*?)^\}/ms);
  const declared = [...body.matchAll(/^ {2}(\w+)[(<]/gm)].map(([, name]) => name);
  const { PushDaemon } = require('../index.js');
  assert.ok(declared.includes('flush'));
  for (const name of declared) assert.equal(typeof PushDaemon.prototype[name], 'function', name);
});
