/** README.md: its code as a service that is compiled and run, and its container as far as none is needed. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from '../support/child.mjs';
import { atEnd } from '../support/cleanup.mjs';
import { once, startInSync, until } from '../support/daemon.mjs';
import { makePair, Repository } from '../support/git.mjs';
import { freePort, missing } from '../support/servers.mjs';
import { Service } from '../support/service.mjs';
import { Sandbox } from '../support/shell.mjs';
import { dockerfile, manifest } from './container.mjs';
import { makeSshRemote } from './ssh.mjs';

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

/** From this clone, which is built: a new one would build for minutes what is built here. */
async function installFromSource(t, block) {
  const sandbox = new Sandbox(t);
  const application = path.join(sandbox.directory, 'api');
  mkdirSync(application);
  const commands = sandbox.localize(block, {
    'git clone <this repository>': `ln -s ${ROOT}`,
    'npm install': 'npm install --offline --no-audit --no-fund',
  });
  await sandbox.run(commands, { cwd: application });
  const { repo, remote } = makePair(t);
  const commit = repo.commit();
  const program = `
    const daemon = require('git-push-daemon').startPushDaemon({ remote: 'origin', branch: 'main' });
    daemon.flush().then(() => daemon.stop());
  `;
  const env = { CFP_DATA_REPO_PATH: repo.path, PROGRAM: program };
  await sandbox.run('node -e "$PROGRAM"', { cwd: application, env });
  assert.equal(remote.tip(), commit);
}

/** The one command that fetches from a registry: its names are checked, and that they are all that is needed. */
function install(_t, { body }, { body: server }) {
  const [, names] = /^npm install (.+)\n$/.exec(body);
  const named = new Set(names.split(' '));
  const used = [...server.matchAll(/^import .* from '([^'/]+)(?:\/[^']+)?';$/gm)];
  for (const [line, name] of used) assert.ok(named.delete(name), line);
  // What is left is what the plugin itself asks for.
  assert.deepEqual([...named], ['fastify-plugin']);
  assert.ok(packageJson.peerDependencies['fastify-plugin']);
  const source = readFileSync(path.join(ROOT, 'fastify.js'), 'utf8');
  assert.match(source, /require\('fastify-plugin'\)/);
}

/** What the page's blocks use without saying where it comes from. */
const AMBIENT = `
  import type { PushDaemon, PushDaemonLogger } from 'git-push-daemon';
  declare global {
    const log: PushDaemonLogger;
    const daemon: PushDaemon;
    const commit: string;
    const signal: AbortSignal;
  }
`;

/** Defines it. */
const PRELUDE = `
  const note = (level) => (fields, msg) => tell({ level, msg, commit: fields.commit });
  globalThis.log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
  // As a server would, it holds the process.
  setInterval(() => {}, 60_000);
`;

async function code(parent, quickStart, synchronous, metrics) {
  const service = new Service(parent, {
    packages: ['prom-client'],
    files: {
      'ambient.d.ts': AMBIENT,
      'quick-start.ts': quickStart.body,
      'synchronous.ts': `${synchronous.body}\nexport { remoteCommit };\n`,
      'metrics.ts': metrics.body,
    },
  });
  for (const compiler of ['typescript-newest', 'typescript']) service.compile(compiler);

  await parent.test('the quick start pushes, tells and drains at SIGTERM', async (t) => {
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
  });

  await parent.test('the synchronous mode resolves once the remote has the commit', async (t) => {
    const { repo, remote } = makePair(t);
    const commit = repo.commit();
    const script = service.start(
      `globalThis.daemon = startPushDaemon({ remote: 'origin', branch: 'main' });
       Object.assign(globalThis, { commit: '${commit}', signal: new AbortController().signal });
       tell(await load('synchronous.js'));
       await daemon.stop();`,
      { CFP_DATA_REPO_PATH: repo.path },
    );
    assert.deepEqual((await script.ended).told, [{ remoteCommit: commit }]);
    assert.equal(remote.tip(), commit);
  });

  await parent.test('the metrics are those of the table', async (t) => {
    const { repo } = makePair(t);
    const script = service.start(
      `await load('metrics.js');
       tell(await require('prom-client').register.metrics());
       process.exit();`,
      { CFP_DATA_REPO_PATH: repo.path },
    );
    const [text] = (await script.ended).told;
    const shown = [...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name).sort();
    const page = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
    const listed = [...page.matchAll(/^\| `(git_push_daemon_\w+)` \|/gm)].map(([, name]) => name);
    assert.deepEqual(shown, listed.sort());
  });
}

async function production(t, block) {
  const sandbox = new Sandbox(t);
  const { repo, remote, options } = await makeSshRemote(t, sandbox);
  const shell = `${sandbox.localize(block)}\nprintf %s "$GIT_SSH_COMMAND"`;
  process.env.GIT_SSH_COMMAND = await sandbox.run(shell);
  atEnd(t, () => {
    delete process.env.GIT_SSH_COMMAND;
  });
  const daemon = await startInSync(t, options);
  const pushed = once(daemon, 'push');
  const commit = repo.commit();
  await pushed;
  assert.equal(remote.tip(), commit);
}

/**
 * There is no container engine here. What can be true without: the image's instructions are known, what it copies is
 * made by the page's service, and its command runs that service in the manifest's environment, with the manifest's
 * clone, key, probes and end, against a real ssh server.
 */
async function container(t, server, image, pod) {
  const service = new Service(t, {
    packages: ['fastify', 'fastify-plugin', 'close-with-grace'],
    files: { 'server.ts': server.body, 'package-lock.json': '{}' },
  });
  service.compile('typescript', '--outDir', path.join(service.directory, 'dist'));
  const { copied, command, env: imageEnv } = dockerfile(image.body);
  for (const source of copied) assert.ok(existsSync(path.join(service.directory, source)), source);

  const sandbox = new Sandbox(t);
  const { remote, url, repo: other } = await makeSshRemote(t, sandbox);
  const volume = path.join(sandbox.directory, 'data');
  const {
    clone,
    env: podEnv,
    graceMs,
    probes,
    port,
    volumes,
  } = manifest(sandbox.localize(pod, { 'git@git.example.com:team/data.git': url }));
  assert.deepEqual(volumes, ['/data', sandbox.secrets, sandbox.temporary]);
  assert.equal(port, Number(imageEnv.PORT));
  const env = {
    ...imageEnv,
    ...podEnv,
    CFP_DATA_REPO_PATH: podEnv.CFP_DATA_REPO_PATH.replace('/data', volume),
    HOST: '127.0.0.1',
    PORT: String(await freePort()),
  };

  const init = new Sandbox(t, env);
  await init.run(`mkdir -p ${volume}`);
  await init.run(clone);
  await init.run(clone);
  const repo = new Repository(env.CFP_DATA_REPO_PATH);
  assert.equal(repo.tip(), other.tip());

  const [program, ...args] = command;
  const child = spawn(program, args, {
    cwd: service.directory,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
    stdio: 'ignore',
  });
  const exited = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
  atEnd(t, () => {
    child.kill('SIGKILL');
    return exited;
  });
  const get = (route, headers = {}) =>
    fetch(`http://127.0.0.1:${env.PORT}${route}`, { headers }).catch(() => null);
  for (const probe of probes) {
    const response = await until(`${probe} answers`, () => get(probe));
    assert.equal(response.status, 200);
  }
  const commit = repo.commit();
  await until('the commit is on the remote', () => remote.tip() === commit);
  const admin = { authorization: `Bearer ${env.ADMIN_TOKEN}` };
  assert.equal((await (await get('/admin/push-daemon', admin)).json()).transport, 'ssh');
  assert.equal((await get('/admin/push-daemon')).status, 401);

  const drain = /stopTimeoutMs: ([\d_]+)/.exec(server.body)[1].replaceAll('_', '');
  const grace = /delay: ([\d_]+)/.exec(server.body)[1].replaceAll('_', '');
  assert.ok(Number(drain) < Number(grace) && Number(grace) < graceMs);
  const last = repo.commit();
  child.kill('SIGTERM');
  assert.equal(await exited, 0);
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
      title: 'its steps to build from source make a package that pushes',
      blocks: ['sh in Install (2)'],
      run: installFromSource,
    },
    {
      title: 'its code compiles and does what it says',
      blocks: ['ts in Quick start', 'ts in Synchronous mode', 'ts in Metrics'],
      run: code,
    },
    {
      title: 'installs what its plugin needs',
      blocks: ['sh in Fastify'],
      also: ['ts in Fastify'],
      run: install,
    },
    {
      title: 'its ssh command pushes',
      blocks: ['sh in Remotes and credentials'],
      run: production,
      skip: missing.ssh,
    },
    {
      title: 'its server runs as its image and its manifest say',
      blocks: ['ts in Fastify', 'dockerfile in In a container', 'yaml in In a container'],
      run: container,
      skip: missing.ssh,
    },
  ],
};
