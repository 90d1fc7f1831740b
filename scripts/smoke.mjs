/**
 * `npm run smoke`: the package on the Node that runs this, with nothing but Node and git: required and imported, a push with
 * its events, a stop, a worker that is terminated, an exit without a stop. `-- --package <folder>` takes an installed one.
 *
 * It runs on each version of Node (`__test__/node-versions.test.mjs`) and on each platform (the workflows).
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { Failed, main, ROOT, step } from './process.mjs';

const LIMIT_MS = 60_000;

const { values } = parseArgs({ options: { package: { type: 'string', default: ROOT } } });
const location = path.resolve(values.package);

const REQUIRED = `const { startPushDaemon } = require(${JSON.stringify(location)});`;
const IMPORTED = `import { startPushDaemon } from ${JSON.stringify(pathToFileURL(path.join(location, 'index.js')).href)};`;

/** Pushes, then prints the events and the result of stop(). */
const PUSH = `
  const daemon = startPushDaemon({ remote: 'origin', branch: 'main' });
  const events = [];
  for (const name of ['push', 'error', 'stopped']) daemon.on(name, () => events.push(name));
  daemon.once('push', async ({ commit }) => {
    const { drained } = await daemon.stop();
    console.log(JSON.stringify({ commit, drained, events, state: daemon.status().state }));
  });
  daemon.ref();
`;

/** A worker with a daemon, whose terminated thread takes nothing else with it. */
const WORKER = `
  ${REQUIRED}
  const { Worker, isMainThread, parentPort } = require('node:worker_threads');
  if (isMainThread) {
    const worker = new Worker(__filename);
    worker.once('message', async (commit) => {
      await worker.terminate();
      console.log(JSON.stringify({ commit }));
    });
  } else {
    startPushDaemon({ remote: 'origin', branch: 'main' })
      .ref()
      .once('push', ({ commit }) => parentPort.postMessage(commit));
  }
`;

/** Exits while the daemon is at work. */
const EXIT = `
  ${REQUIRED}
  startPushDaemon({ remote: 'origin', branch: 'main' }).ref().once('push', ({ commit }) => {
    console.log(JSON.stringify({ commit }));
    process.exit(7);
  });
`;

const MISUSE = `
  ${REQUIRED}
  try { startPushDaemon({ remote: 'nowhere', branch: 'main' }); }
  catch ({ code }) { console.log(JSON.stringify({ code })); }
`;

await main(async () => {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'git-push-daemon-smoke-')));
  try {
    const places = makeRepositories(folder);
    const { node, modules } = process.versions;
    await step(`Node ${node} (ABI ${modules}) on ${process.platform} ${process.arch}`, () => {});
    await step('required, it pushes, tells and stops', () => pushes(places, `${REQUIRED}${PUSH}`));
    await step('imported, it does so too', () => pushes(places, `${IMPORTED}${PUSH}`, 'module'));
    await step('misuse throws an error with a code', () => {
      const { told } = runNode(places, MISUSE);
      expect(told.code === 'ERR_PUSH_DAEMON_REMOTE_NOT_FOUND', told);
    });
    await step('a terminated worker ends alone', () => {
      const commit = addCommit(places);
      const { told, status } = runNode(places, WORKER);
      expect(told.commit === commit && status === 0, { told, status });
    });
    await step('an exit without a stop is that exit', () => {
      const commit = addCommit(places);
      const { told, status } = runNode(places, EXIT);
      expect(told.commit === commit && status === 7, { told, status });
    });
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
});

function pushes(places, source, type = 'commonjs') {
  const commit = addCommit(places);
  const { told, status } = runNode(places, source, type);
  expect(told.commit === commit && told.drained && told.state === 'stopped' && status === 0, told);
  expect(told.events.join() === 'push,stopped', told);
  expect(git(places.remote, 'rev-parse', 'main') === commit, 'the remote has the commit');
}

/** Runs a program; returns its output and its status. */
function runNode({ folder, repo }, source, type = 'commonjs') {
  const file = path.join(folder, type === 'module' ? 'program.mjs' : 'program.cjs');
  writeFileSync(file, source);
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [file], {
    encoding: 'utf8',
    env: { ...environment(), CFP_DATA_REPO_PATH: repo },
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  if (stderr !== '' || stdout === '')
    throw new Failed(`it ended with ${status ?? signal}: ${stderr}`);
  return { told: JSON.parse(stdout), status };
}

function expect(holds, found) {
  if (!holds) throw new Failed(`it was otherwise: ${JSON.stringify(found)}`);
}

function makeRepositories(folder) {
  const [remote, repo] = ['remote.git', 'data.git'].map((name) => path.join(folder, name));
  for (const place of [remote, repo]) {
    git(folder, 'init', '--quiet', '--bare', '--initial-branch=main', place);
  }
  git(repo, 'remote', 'add', 'origin', remote);
  return { folder, remote, repo };
}

/** Adds a commit of nothing to the branch, as plumbing does. */
function addCommit({ repo }) {
  const tree = git(repo, 'hash-object', '-t', 'tree', '-w', '--stdin');
  const tip = git(repo, 'for-each-ref', '--format=%(objectname)', 'refs/heads/main');
  const parents = tip === '' ? [] : ['-p', tip];
  const commit = git(repo, 'commit-tree', tree, ...parents, '-m', 'a commit');
  git(repo, 'update-ref', 'refs/heads/main', commit);
  return commit;
}

function git(cwd, ...args) {
  const options = { cwd, encoding: 'utf8', env: environment(), input: '', timeout: LIMIT_MS };
  return execFileSync('git', args, options).trim();
}

/** The environment without personal git settings. */
function environment() {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'));
  const person = (role) => ({
    [`GIT_${role}_NAME`]: 'Smoke',
    [`GIT_${role}_EMAIL`]: 'smoke@example.invalid',
  });
  return {
    ...Object.fromEntries(own),
    ...person('AUTHOR'),
    ...person('COMMITTER'),
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: process.platform === 'win32' ? 'NUL' : '/dev/null',
  };
}
