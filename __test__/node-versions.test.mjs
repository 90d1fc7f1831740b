/** The addon on each version of Node that is supported: `scripts/smoke.mjs` on the oldest, and on the newest of each. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { ROOT } from './support/child.mjs';

const LIMIT_MS = 180_000;

const FOLDER = path.join(ROOT, '__test__', 'node-versions');
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
const VERSIONS = Object.entries(read(path.join(FOLDER, 'package.json')).optionalDependencies).map(
  ([name, specifier]) => ({ name, version: specifier.split('@').at(-1) }),
);

function smoke(node) {
  return new Promise((resolve) => {
    execFile(
      node,
      [path.join(ROOT, 'scripts', 'smoke.mjs')],
      {
        env: { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: '' },
        timeout: LIMIT_MS,
        killSignal: 'SIGKILL',
      },
      (error, stdout, stderr) => resolve({ error, stdout, stderr }),
    );
  });
}

describe('the addon works on', () => {
  for (const { name, version } of VERSIONS) {
    const node = path.join(FOLDER, 'node_modules', name, 'bin', 'node');
    const skip = existsSync(node)
      ? false
      : 'npm test installs it, where there is one for this platform';
    test(`Node ${version}`, { skip }, async () => {
      const { error, stdout, stderr } = await smoke(node);
      assert.equal(error, null, `${stdout}${stderr}`);
      assert.ok(stdout.includes(`Node ${version} `), stdout);
      assert.equal(stdout.match(/✔/g).length, 6);
    });
  }
});

test('these are the oldest version that package.json takes, and newer ones', () => {
  const [, oldest] = /^>=(\d+)$/.exec(read(path.join(ROOT, 'package.json')).engines.node);
  const versions = VERSIONS.map(({ version }) => version);
  assert.equal(versions[0], `${oldest}.0.0`);
  const majors = versions.map((version) => Number(version.split('.')[0]));
  assert.deepEqual(majors.slice(0, 3), [20, 22, 24]);
  assert.ok(majors.at(-1) > 24);
});
