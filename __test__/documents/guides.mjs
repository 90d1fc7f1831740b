/** docs/: the code of the guides as a service that is compiled and run, and the container as far as none is needed. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

import { load } from 'js-yaml';

import { ROOT } from '../support/child.mjs';
import { atEnd } from '../support/cleanup.mjs';
import { once, startInSync, until } from '../support/daemon.mjs';
import { makePair, Repository } from '../support/git.mjs';
import { Document } from '../support/markdown.mjs';
import { assertRestored, makePlace } from '../support/restore.mjs';
import { freePort, missing } from '../support/servers.mjs';
import { Service } from '../support/service.mjs';
import { Sandbox } from '../support/shell.mjs';
import { dockerfile, manifest } from './container.mjs';
import { makeSshRemote } from './ssh.mjs';

const COMPILERS = ['typescript-newest', 'typescript'];

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

/** The volume that takes the place of the claim. */
function emptyDir({ body }, claims) {
  const volumes = load(body);
  assert.deepEqual(
    volumes.map(({ name }) => name),
    claims,
  );
  for (const volume of volumes) assert.deepEqual(Object.keys(volume), ['name', 'emptyDir']);
}

/** What the block of the synchronous mode uses without saying where it comes from. */
const AMBIENT = `
  import type { PushDaemon } from 'git-push-daemon';
  declare global {
    const daemon: PushDaemon;
    const commit: string;
    const signal: AbortSignal;
  }
`;

async function synchronous(t, { body }) {
  const service = new Service(t, {
    files: {
      'ambient.d.ts': AMBIENT,
      'synchronous.ts': `${body}\nexport { remoteCommit };\n`,
    },
  });
  for (const compiler of COMPILERS) service.compile(compiler);
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
}

async function metrics(t, { body }) {
  const service = new Service(t, { packages: ['prom-client'], files: { 'metrics.ts': body } });
  for (const compiler of COMPILERS) service.compile(compiler);
  const { repo } = makePair(t);
  const script = service.start(
    `await load('metrics.js');
     tell(await require('prom-client').register.metrics());
     process.exit();`,
    { CFP_DATA_REPO_PATH: repo.path },
  );
  const [text] = (await script.ended).told;
  const shown = [...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name).sort();
  const page = readFileSync(path.join(ROOT, 'docs/metrics-and-alerts.md'), 'utf8');
  const listed = [...page.matchAll(/^\| `(git_push_daemon_\w+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(shown, listed.sort());
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
 * made by the README's service, and its command runs that service in the manifest's environment, with the manifest's
 * key, probes and end, against a real ssh server. Its volume is new at first, and lost in the end.
 */
async function container(t, image, pod, withoutVolume) {
  const server = new Document('README.md').block('ts in Fastify');
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
    env: podEnv,
    graceMs,
    probes,
    port,
    volumes,
    claims,
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

  mkdirSync(volume);
  const repo = new Repository(env.CFP_DATA_REPO_PATH);

  const [program, ...args] = command;
  const startPod = () => {
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
    return { child, exited };
  };
  const get = (route, headers = {}) =>
    fetch(`http://127.0.0.1:${env.PORT}${route}`, { headers }).catch(() => null);
  const isUp = async () => {
    for (const probe of probes) {
      const response = await until(`${probe} answers`, () => get(probe));
      assert.equal(response.status, 200);
    }
  };
  const { child, exited } = startPod();
  await isUp();
  assert.equal(repo.tip(), other.tip());
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

  emptyDir(withoutVolume, claims);
  rmSync(volume, { recursive: true });
  mkdirSync(volume);
  const next = startPod();
  await isUp();
  assert.equal(repo.tip(), last);
  next.child.kill('SIGTERM');
  assert.equal(await next.exited, 0);
}

/** What the block of a restore uses without saying where it comes from. */
const LOGGING = `
  import type { PushDaemonLogger } from 'git-push-daemon';
  declare global {
    const log: PushDaemonLogger;
  }
`;

async function restores(t, { body }) {
  const { volume, repoPath } = makePlace(t);
  const { remote } = makePair(t);
  const examples = { '/data/data.git': repoPath, 'git@git.example.com:team/data.git': remote.path };
  const local = new Sandbox(t).localize({ id: 'restore', body }, examples);
  const files = {
    'ambient.d.ts': LOGGING,
    'restore.ts': `${local}\nexport { commit, durationMs, restored };\n`,
  };
  const service = new Service(t, { files });
  for (const compiler of COMPILERS) service.compile(compiler);
  const script = service.start(
    `globalThis.log = { info: ({ phase }) => tell({ phase }) };
     const { commit, restored } = await load('restore.js');
     tell({ commit, restored });`,
  );
  const { told } = await script.ended;
  assert.deepEqual(told[0], { phase: 'connecting' });
  assert.deepEqual(told.at(-1), { commit: remote.tip(), restored: true });
  assertRestored({ volume, repoPath }, { tip: remote.tip(), url: remote.path });
}

export default [
  {
    name: 'docs/deploying.md',
    runs: [
      {
        title: 'its steps to build from source make a package that pushes',
        blocks: ['sh in Building from source'],
        run: installFromSource,
      },
      {
        title: 'restores a lost volume',
        blocks: ['ts in Restoring the data'],
        run: restores,
      },
      {
        title: 'the server of the README runs as its image and its manifest say',
        blocks: ['dockerfile in The image', 'yaml in Kubernetes', 'yaml in Without a volume'],
        run: container,
        skip: missing.ssh,
      },
    ],
  },
  {
    name: 'docs/remotes-and-credentials.md',
    runs: [
      {
        title: 'its ssh command pushes',
        blocks: ['sh in Remotes and credentials'],
        run: production,
        skip: missing.ssh,
      },
    ],
  },
  {
    name: 'docs/synchronous-mode.md',
    runs: [
      {
        title: 'resolves once the remote has the commit',
        blocks: ['ts in Synchronous mode'],
        run: synchronous,
      },
    ],
  },
  {
    name: 'docs/metrics-and-alerts.md',
    runs: [
      {
        title: 'has the metrics of its table',
        blocks: ['ts in Metrics and alerts'],
        run: metrics,
      },
    ],
  },
];
