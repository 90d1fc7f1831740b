/** README.md: its commands are those that CI and other tests run, and its quick start is compiled and run. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from '../support/child.mjs';
import { makePair } from '../support/git.mjs';
import { Service } from '../support/service.mjs';

const packageJson = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));

/** They are CI's own stages: to run them here would run this test within itself. */
function twoCommands(_t, { body }) {
  const ci = readFileSync(path.join(ROOT, '.ci/run'), 'utf8');
  const commands = body
    .trim()
    .split('\n')
    .map((line) => /^npm (?:run )?(\w+) +# \S/.exec(line));
  assert.deepEqual(
    commands.map((match) => match?.[1]),
    ['demo', 'test'],
  );
  for (const [line, name] of commands) {
    assert.ok(packageJson.scripts[name], line);
    const stage = line.split('#')[0].trim();
    assert.match(ci, new RegExp(`^stage ${stage}$`, 'm'));
  }
}

/** What is published, from a registry on loopback, is in `release.test.mjs`: the command is its very own. */
function installFromRegistry(_t, { body }) {
  const test = readFileSync(path.join(ROOT, '__test__/release.test.mjs'), 'utf8');
  assert.match(test, /^const NAME = 'git-push-daemon';$/m);
  assert.match(test, /await application\.install\(NAME\);/);
  assert.equal(body, 'npm install git-push-daemon\n');
}

/** The one command that fetches from a registry: its names are checked, and that they are all that is needed. */
function install(_t, { body }, { body: server }) {
  const [, names] = /^npm install (.+)\n$/.exec(body);
  const named = new Set(names.split(' '));
  const used = [...server.matchAll(/^import .* from '([^'/]+)(?:\/[^']+)?';$/gm)];
  for (const name of new Set(used.map(([, name]) => name))) assert.ok(named.delete(name), name);
  // What is left is what the plugin itself asks for.
  assert.deepEqual([...named], ['fastify-plugin']);
  assert.ok(packageJson.peerDependencies['fastify-plugin']);
  const source = readFileSync(path.join(ROOT, 'fastify.js'), 'utf8');
  assert.match(source, /require\('fastify-plugin'\)/);
}

/** What the block uses without saying where it comes from. */
const AMBIENT = `
  import type { PushDaemonLogger } from 'git-push-daemon';
  declare global {
    const log: PushDaemonLogger;
  }
`;

/** Defines it. */
const PRELUDE = `
  const note = (level) => (fields, msg) => tell({ level, msg, commit: fields.commit });
  globalThis.log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
  // As a server would, it holds the process.
  setInterval(() => {}, 60_000);
`;

async function quickStart(t, { body }) {
  const service = new Service(t, { files: { 'ambient.d.ts': AMBIENT, 'quick-start.ts': body } });
  for (const compiler of ['typescript-newest', 'typescript']) service.compile(compiler);
  const { repo, remote } = makePair(t);
  const script = service.start(`${PRELUDE} await load('quick-start.js');`, {
    CFP_DATA_REPO_PATH: repo.path,
  });
  const first = repo.commit();
  await script.untilTold((line) => line.msg === 'pushed' && line.commit === first);
  remote.hook('pre-receive', 'exit 1');
  const last = repo.commit();
  await script.untilTold(({ msg }) => msg === 'push failed');
  await script.untilTold(({ msg }) => msg === 'push retry');
  remote.removeHook('pre-receive');
  script.kill('SIGTERM');
  assert.equal((await script.ended).code, 0);
  assert.equal(remote.tip(), last);
}

export default {
  name: 'README.md',
  runs: [
    {
      title: 'its two commands are what CI runs',
      blocks: ['sh in Two commands'],
      run: twoCommands,
    },
    {
      title: 'its command to install is the one that is tried',
      blocks: ['sh in Install'],
      run: installFromRegistry,
    },
    {
      title: 'its quick start compiles, pushes, logs and drains at SIGTERM',
      blocks: ['ts in Quick start'],
      run: quickStart,
    },
    {
      title: 'installs what its plugin needs',
      blocks: ['sh in Fastify', 'ts in Fastify'],
      run: install,
    },
  ],
};
