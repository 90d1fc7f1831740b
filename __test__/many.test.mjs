// Many daemons in one process: what they share, and that one which hangs delays no other. Threads, descriptors and pushes
// are counted, since a busy machine changes no count; `npm run bench -- --only thousand` takes the times.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';

import { startScript } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import { once, start, startPushDaemon, until, untilState, within } from './support/daemon.mjs';
import { git, makeDirectory, makePair, makeRemote, makeRepo, REF_FORMAT } from './support/git.mjs';
import { children, daemonThreads, descriptors, inotifyDescriptors } from './support/proc.mjs';

const LIMIT_MS = 120_000;

/** The threads of all daemons of a process, however many they are, unless more than 15 disks hang. */
const MOST_THREADS = 32;

/** Copies of a repository with its remote, whose branch is a commit behind what its objects hold. */
function makeCopies(t, count) {
  const directory = makeDirectory(t);
  const first = path.join(directory, '0');
  makeRemote(t, { directory: path.join(first, 'remote.git') });
  const repo = makeRepo(t, { directory: path.join(first, 'data.git') });
  // Relative, so that each copy has a remote of its own.
  repo.git('remote', 'add', 'origin', '../remote.git');
  const base = repo.commit();
  repo.git('push', '--quiet', 'origin', 'main');
  const next = repo.commit();
  repo.git('update-ref', 'refs/heads/main', base);
  const places = [first];
  for (let index = 1; index < count; index += 1) {
    places.push(path.join(directory, `${index}`));
    execFileSync('cp', ['-r', first, places[index]]);
  }
  const repos = places.map((place) => path.join(place, 'data.git'));
  return {
    next,
    repos,
    tipOf: (repoPath) => git(`${repoPath}/../remote.git`, 'rev-parse', 'main'),
  };
}

/** Moves the branch as git does, without a process for each of many repositories. */
function moveTip(repoPath, commit) {
  if (REF_FORMAT !== 'files') {
    git(repoPath, 'update-ref', 'refs/heads/main', commit);
    return;
  }
  const file = path.join(repoPath, 'refs/heads/main');
  writeFileSync(`${file}.lock`, `${commit}\n`, { flag: 'wx' });
  renameSync(`${file}.lock`, file);
}

const optionsOf = (repoPath, more = {}) => ({
  remote: 'origin',
  branch: 'main',
  repoPath,
  ...more,
});

/** A server that accepts connections and never says anything. */
async function makeBlackHole(t) {
  const sockets = new Set();
  const server = net.createServer((socket) => sockets.add(socket.on('error', () => {})));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return { url: `git://127.0.0.1:${server.address().port}/r.git`, sockets };
}

/** The URL of a server that asks for a password. */
async function makeSecretive(t) {
  const server = http.createServer((_, response) => {
    response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="x"' }).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${server.address().port}/r.git`;
}

/** The file that every read of the branch needs. */
const TIP_FILE = REF_FORMAT === 'files' ? 'refs/heads/main' : 'reftable/tables.list';

/** Lets a disk hang: every read of this file waits until the returned function is called, or the test ends. */
function makeHang(t, file) {
  const content = readFileSync(file);
  execFileSync('mkfifo', [`${file}.fifo`]);
  renameSync(`${file}.fifo`, file);
  let isHanging = true;
  const release = () => {
    if (!isHanging) return;
    isHanging = false;
    // A reader that waits gets the content; later ones find the file.
    const fifo = `${file}.fifo`;
    linkSync(file, fifo);
    writeFileSync(`${file}.new`, content);
    renameSync(`${file}.new`, file);
    const descriptor = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    writeSync(descriptor, content);
    closeSync(descriptor);
    rmSync(fifo);
  };
  atEnd(t, release);
  return release;
}

/** Looks often at the daemons' threads. Returns a function that returns how many there were at most. */
function watchThreads(t) {
  let most = 0;
  const sampling = setInterval(() => {
    most = Math.max(most, daemonThreads().length);
  }, 10);
  atEnd(t, () => clearInterval(sampling));
  return () => most;
}

/** Starts daemons that are stopped together when the test ends. */
function startAll(t, all) {
  const daemons = all.map((options) => startPushDaemon(options));
  atEnd(t, () => Promise.all(daemons.map((daemon) => daemon.stop({ timeoutMs: 0 }))));
  return daemons;
}

describe('daemons of one process', () => {
  test('share a few threads and one inotify instance, and leave nothing behind', async (t) => {
    const { next, repos, tipOf } = makeCopies(t, 200);
    const before = descriptors().length;
    const mostThreads = watchThreads(t);
    const daemons = startAll(
      t,
      repos.map((repoPath) => optionsOf(repoPath)),
    );
    for (const daemon of daemons) await untilState(daemon, 'in-sync');
    assert.equal(inotifyDescriptors().length, 1);
    await until('the children of the first look are gone', () => children().length === 0);
    // Two pairs of sockets and an epoll instance of the runtime, the inotify instance, and those of Node.
    assert.ok(descriptors().length <= before + 20, `${before} before, ${descriptors().length} now`);
    const pushed = daemons.map((daemon) => once(daemon, 'push'));
    for (const repoPath of repos) moveTip(repoPath, next);
    for (const { commit } of await Promise.all(pushed)) assert.equal(commit, next);
    for (const repoPath of [repos[0], repos.at(-1)]) assert.equal(tipOf(repoPath), next);
    const ends = await Promise.all(daemons.map((daemon) => daemon.stop()));
    for (const end of ends) assert.deepEqual(end, { drained: true, pendingCommits: 0 });
    assert.ok(mostThreads() <= MOST_THREADS, `${mostThreads()} threads`);
    await until('no thread is left', () => daemonThreads().length === 0);
    assert.deepEqual([inotifyDescriptors(), children()], [[], []]);
  });

  test('push, a thousand of them, while a disk, a remote and a credential helper hang', async (t) => {
    const { next, repos, tipOf } = makeCopies(t, 1_000);
    const [slowDisk, slowRemote, slowHelper, ...others] = repos;
    const hole = await makeBlackHole(t);
    git(slowRemote, 'remote', 'set-url', 'origin', hole.url);
    const asking = path.join(slowHelper, 'asking');
    git(slowHelper, 'remote', 'set-url', 'origin', await makeSecretive(t));
    git(slowHelper, 'config', 'credential.helper', `!echo >'${asking}'; exec sleep 1000 #`);
    const mostThreads = watchThreads(t);
    const [onSlowDisk, toSlowRemote, bySlowHelper, ...daemons] = startAll(
      t,
      repos.map((repoPath) => optionsOf(repoPath, { connectTimeoutMs: LIMIT_MS })),
    );
    for (const daemon of daemons) await untilState(daemon, 'in-sync');
    await untilState(onSlowDisk, 'in-sync');
    await until('the silent remote is connected', () => hole.sockets.size === 1);
    await until('the helper is asked', () => existsSync(asking));
    assert.equal(inotifyDescriptors().length, 1);
    const release = makeHang(t, path.join(slowDisk, TIP_FILE));
    await assert.rejects(onSlowDisk.flush({ timeoutMs: 100 }), {
      code: 'ERR_PUSH_DAEMON_WAIT_TIMEOUT',
    });
    for (const repoPath of others) moveTip(repoPath, next);
    const checked = within(
      Promise.all(daemons.map((daemon) => daemon.waitForPush(next, { timeoutMs: LIMIT_MS }))),
      'the pushes of the others',
      LIMIT_MS,
    );
    for (const { commit } of await checked) assert.equal(commit, next);
    for (const repoPath of [others[0], others.at(-1)]) assert.equal(tipOf(repoPath), next);
    // Those that hang still do.
    for (const daemon of [toSlowRemote, bySlowHelper]) {
      assert.deepEqual([daemon.status().state, daemon.status().totals.pushes], ['starting', 0]);
    }
    assert.equal(hole.sockets.size, 1);
    assert.ok(mostThreads() <= MOST_THREADS, `${mostThreads()} threads`);
    // The daemon goes on when its disk does.
    release();
    const hung = onSlowDisk.waitForPush(next, { timeoutMs: LIMIT_MS });
    moveTip(slowDisk, next);
    assert.equal((await hung).commit, next);
  });

  test('push though more disks hang than there are threads for reading', async (t) => {
    const { next, repos } = makeCopies(t, 24);
    const hanging = repos.slice(0, 20);
    const daemons = startAll(
      t,
      repos.map((repoPath) => optionsOf(repoPath)),
    );
    for (const daemon of daemons) await untilState(daemon, 'in-sync');
    for (const repoPath of hanging) makeHang(t, path.join(repoPath, TIP_FILE));
    for (const daemon of daemons) daemon.notifyCommit();
    for (const repoPath of repos.slice(hanging.length)) moveTip(repoPath, next);
    const others = daemons.slice(hanging.length);
    await within(
      Promise.all(others.map((daemon) => daemon.waitForPush(next, { timeoutMs: LIMIT_MS }))),
      'the pushes of the others',
    );
  });

  test('stop, and let the process exit, while a disk hangs', async (t) => {
    const { repos } = makeCopies(t, 2);
    const host = startScript(
      `const daemons = input.map((repoPath) => startPushDaemon({ remote: 'origin', branch: 'main', repoPath }).ref());
       const inSync = setInterval(() => {
         if (daemons.some((daemon) => daemon.status().state !== 'in-sync')) return;
         clearInterval(inSync);
         tell('in sync');
       }, 5);
       process.once('SIGUSR2', async () => {
         daemons[0].notifyCommit();
         tell(await daemons[1].stop());
         tell(await daemons[0].stop({ timeoutMs: 200 }));
         process.exit(7);
       });`,
      { input: repos },
    );
    atEnd(t, () => host.kill());
    await host.untilTold((told) => told === 'in sync');
    makeHang(t, path.join(repos[0], TIP_FILE));
    host.kill('SIGUSR2');
    const { code, told, stderr } = await host.ended;
    assert.deepEqual(
      [code, told.length, told[1]],
      [7, 3, { drained: true, pendingCommits: 0 }],
      stderr,
    );
  });

  test('start and stop while the disk hangs from the beginning', async (t) => {
    const { repo, options } = makePair(t);
    makeHang(t, path.join(repo.path, TIP_FILE));
    const daemon = start(t, options);
    const ended = await within(daemon.stop({ timeoutMs: 100 }), 'the end');
    assert.deepEqual(ended, { drained: false, pendingCommits: 0 });
  });

  test('watch one repository together, and the end of one leaves the others alone', async (t) => {
    const { repo, options } = makePair(t);
    const branches = ['one', 'two', 'three'];
    for (const branch of branches) repo.git('branch', branch, 'main');
    const daemons = startAll(
      t,
      branches.map((branch) => ({ ...options, branch })),
    );
    for (const daemon of daemons) await untilState(daemon, 'in-sync');
    await daemons[0].stop();
    for (const [index, branch] of branches.entries()) {
      if (index === 0) continue;
      const pushed = once(daemons[index], 'push');
      const commit = repo.commit({ branch });
      assert.equal((await pushed).commit, commit);
    }
  });
});

describe('the log', () => {
  /** A logger that keeps what it is told. */
  function makeLogger() {
    const lines = [];
    const keep = (fields, message) => lines.push(`${message ?? fields} ${JSON.stringify(fields)}`);
    return { lines, logger: { debug: keep, info: keep, warn: keep, error: keep } };
  }

  test('of each daemon has its own lines alone', async (t) => {
    const { next, repos } = makeCopies(t, 3);
    const logs = repos.map(makeLogger);
    const daemons = startAll(
      t,
      repos.map((repoPath, index) => optionsOf(repoPath, { logger: logs[index].logger })),
    );
    for (const daemon of daemons) await untilState(daemon, 'in-sync');
    const pushed = once(daemons[1], 'push');
    moveTip(repos[1], next);
    await pushed;
    await Promise.all(daemons.map((daemon) => daemon.stop()));
    const counts = (text) =>
      logs.map(({ lines }) => lines.filter((line) => line.includes(text)).length);
    assert.deepEqual(counts('"branch":"refs/heads/main"'), [1, 1, 1]);
    assert.deepEqual(counts(next), [0, counts(next)[1], 0]);
    assert.ok(counts(next)[1] > 0);
  });
});

describe('beyond the limits of the system', () => {
  /** Starts a daemon for each repository, pushes a commit from each, and tells what their logs warn of. */
  const PUSH_ALL = `
    const { renameSync, writeFileSync } = await import('node:fs');
    const lines = [];
    const ignore = () => {};
    const logger = { debug: ignore, info: ignore, warn: (fields) => lines.push(fields.reason), error: ignore };
    const daemons = input.repos.map((repoPath, index) =>
      startPushDaemon({
        remote: 'origin',
        branch: 'main',
        repoPath,
        backoff: { base: 50, multiplier: 1, cap: 50 },
        // The first has no log, so another one has to tell.
        ...(index > 0 && { logger }),
      }).ref(),
    );
    let failures = 0;
    for (const daemon of daemons) daemon.on('error', () => { failures += 1; });
    while (daemons.some((daemon) => daemon.status().state !== 'in-sync')) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    tell('in sync');
    if (input.next) {
      const pushes = daemons.map((daemon) => new Promise((resolve) => daemon.once('push', resolve)));
      for (const repoPath of input.repos) {
        const file = repoPath + '/refs/heads/main';
        writeFileSync(file + '.lock', input.next + '\\n', { flag: 'wx' });
        renameSync(file + '.lock', file);
      }
      for (const { commit } of await Promise.all(pushes)) tell(commit);
    }
    for (const daemon of daemons) await daemon.stop();
    tell({ lines, failures });`;

  const under = (command) => ['sh', '-c', `${command} && exec "$@"`, 'sh'];
  const isolated = (limit, value) => [
    'unshare',
    '--user',
    '--map-root-user',
    ...under(`echo ${value} >/proc/sys/user/${limit}`),
  ];
  const skip =
    (REF_FORMAT !== 'files' && 'the script moves the ref of a file') ||
    (spawnSync('unshare', ['--user', '--map-root-user', 'true']).status !== 0 &&
      'this takes unshare and user namespaces');

  for (const [what, limit, most, reason] of [
    ['instances', 'max_inotify_instances', 0, 'fs.inotify.max_user_instances'],
    ['watches', 'max_inotify_watches', 12, 'fs.inotify.max_user_watches'],
  ]) {
    test(`of inotify ${what}, daemons poll, and one line says so`, { skip }, async (t) => {
      const { next, repos } = makeCopies(t, 6);
      const { told, stderr } = await startScript(PUSH_ALL, {
        input: { repos, next },
        under: isolated(limit, most),
      }).ended;
      const { lines } = told.pop();
      assert.deepEqual(told, ['in sync', ...repos.map(() => next)], stderr);
      assert.equal(lines.length, 1);
      assert.ok(lines[0].includes(reason), lines[0]);
    });
  }

  test('of descriptors, daemons try again until all have had theirs', async (t) => {
    const { repos } = makeCopies(t, 60);
    const { told, stderr } = await startScript(PUSH_ALL, {
      input: { repos },
      under: under('ulimit -n 64'),
    }).ended;
    const { failures } = told.pop();
    assert.deepEqual(told, ['in sync'], stderr);
    assert.ok(failures > 0);
  });
});
