/**
 * `npm run bench:status`: what the daemon costs the event loop. It measures the loop's delay in phases of these
 * kinds, which alternate since other work on the machine comes and goes:
 *
 * - idle: nothing is committed;
 * - commits: another process commits steadily to a repository that no daemon follows;
 * - daemon: it commits as steadily to one whose daemon pushes each commit to a bare repository on this
 *   machine, while this process calls `status()` 10,000 times a second.
 *
 * The last two again under requests, of which as many as this machine carries up to 10,000 a second come from a
 * process of its own:
 *
 * - constant: to a route that answers with an object of the same size, beside the commits that nobody follows;
 * - pushes: to that route, beside the pushes, whose other end takes processor time of this machine too;
 * - status: to a route that answers `status()`, beside the pushes.
 *
 * What is shown is the median of each percentile over the phases, how far they are from each other, and whether
 * p99 moves by more than 1 ms; it exits with 1 where it does. `npm run bench:status -- --seconds 20 --rounds 5` measures for longer.
 */

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { median } from './statistics.mjs';

const { startPushDaemon } = createRequire(import.meta.url)('../index.js');

const CALLS_PER_SECOND = 10_000;
const COMMITS_PER_SECOND = 10;
const TICK_MS = 1;
const PERCENTILES = [50, 99, 99.9];
/** By how much p99 may move, in milliseconds. */
const LIMIT_MS = 1;
const CLIENT = fileURLToPath(new URL('http-client.mjs', import.meta.url));
const ENV = {
  ...process.env,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
};

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
  },
});
const phaseMs = Number(values.seconds) * 1_000;
const rounds = Number(values.rounds);

const folder = mkdtempSync(path.join(tmpdir(), 'git-push-daemon-bench-'));
const repo = path.join(folder, 'data.git');
const unfollowed = path.join(folder, 'unfollowed.git');
const remote = path.join(folder, 'remote.git');
for (const place of [repo, unfollowed, remote])
  git('init', '--quiet', '--bare', '--initial-branch=main', place);

/** The repositories that have a commit, which the next importer starts from. */
const born = new Set();

const daemon = startPushDaemon({ repoPath: repo, remote, branch: 'main' });
daemon.on('error', ({ err }) => console.error(err));
const server = createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(request.url === '/status' ? daemon.status() : constant));
});
server.listen(0, '127.0.0.1');
/** What the route that knows nothing of a daemon answers. */
const constant = daemon.status();
try {
  const measured = { idle: [], commits: [], daemon: [], constant: [], pushes: [], status: [] };
  for (let round = 0; round < rounds; round += 1) {
    measured.idle.push(await measure(wake));
    measured.commits.push(await whileCommitting(unfollowed, () => measure(wake)));
    measured.daemon.push(await whileCommitting(repo, () => measure(wakeAndCall)));
    measured.constant.push(await whileCommitting(unfollowed, () => whileAsked('/constant')));
    measured.pushes.push(await whileCommitting(repo, () => whileAsked('/constant')));
    measured.status.push(await whileCommitting(repo, () => whileAsked('/status')));
  }
  report(measured);
} finally {
  server.close();
  server.closeAllConnections();
  await daemon.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
}

function git(...args) {
  execFileSync('git', args, { env: ENV, timeout: 60_000 });
}

/** Runs `tick` every millisecond for one phase, and returns the loop's delays in milliseconds. */
async function measure(tick) {
  const pushesBefore = daemon.status().totals.pushes;
  const state = { calls: 0, startedAt: performance.now() };
  const timer = setInterval(() => tick(state), TICK_MS);
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  await after(phaseMs);
  histogram.disable();
  clearInterval(timer);
  const seconds = (performance.now() - state.startedAt) / 1_000;
  return {
    delays: PERCENTILES.map((percentile) => histogram.percentile(percentile) / 1e6),
    callsPerSecond: state.calls / seconds,
    pushesPerSecond: (daemon.status().totals.pushes - pushesBefore) / seconds,
  };
}

/** Idle has the timer too, which is no cost of the daemon's. */
function wake() {}

function wakeAndCall(state) {
  const due = ((performance.now() - state.startedAt) * CALLS_PER_SECOND) / 1_000;
  for (; state.calls < due; state.calls += 1) daemon.status();
}

/** Has one `git fast-import` commit steadily for as long as `work` takes. */
async function whileCommitting(place, work) {
  const child = spawn('git', ['fast-import', '--quiet', '--date-format=now'], {
    cwd: place,
    env: ENV,
    stdio: ['pipe', 'ignore', 'inherit'],
    timeout: 2 * phaseMs + 10_000,
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  let made = 0;
  const timer = setInterval(() => {
    made += 1;
    const message = `${performance.now()}`;
    const from = made === 1 && born.has(place) ? 'from refs/heads/main^0\n' : '';
    born.add(place);
    child.stdin.write(
      `commit refs/heads/main\ncommitter Bench <bench@example.invalid> now\ndata ${message.length}\n` +
        `${message}\n${from}M 100644 inline file\ndata ${message.length}\n${message}\n\ncheckpoint\n\n`,
    );
  }, 1_000 / COMMITS_PER_SECOND);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    child.stdin.end();
    await closed;
  }
}

/** Measures while clients ask for a path. */
async function whileAsked(route) {
  const child = spawn(
    process.execPath,
    [CLIENT, server.address().port, route, CALLS_PER_SECOND].map(String),
    { stdio: ['pipe', 'pipe', 'inherit'], timeout: 2 * phaseMs + 30_000 },
  );
  let told = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    told += text;
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  // The first answer: the client has started.
  await new Promise((resolve) => server.once('request', resolve));
  const measurement = await measure(wake);
  child.stdin.end();
  await closed;
  const { wrong, ...asked } = JSON.parse(told);
  if (wrong > 0) throw new Error(`${wrong} requests were not answered with 200`);
  return { ...measurement, ...asked };
}

function report(measured) {
  const of = (kind, read) => median(measured[kind].map(read));
  const delayOf = (kind, percentile) =>
    of(kind, ({ delays }) => delays[PERCENTILES.indexOf(percentile)]);
  const pushesOf = (kind) => of(kind, ({ pushesPerSecond }) => pushesPerSecond).toFixed(1);
  const table = (title, columns) => {
    const widths = columns.map(([name]) => Math.max(name.length, 6) + 4);
    console.log(title.padEnd(14) + columns.map(([name], at) => name.padStart(widths[at])).join(''));
    for (const percentile of PERCENTILES) {
      const row = columns.map(([, read], at) => read(percentile).toFixed(3).padStart(widths[at]));
      console.log(`p${percentile}`.padEnd(14) + row.join(''));
    }
  };
  const delay = (kind) => [kind, (percentile) => delayOf(kind, percentile)];
  const over = (kind, other) => [
    `over ${other}`,
    (percentile) => delayOf(kind, percentile) - delayOf(other, percentile),
  ];
  const verdict = (what, kind, other) => {
    const moved = delayOf(kind, 99) - delayOf(other, 99);
    const isWithin = moved <= LIMIT_MS;
    console.log(
      `${isWithin ? 'within' : 'BEYOND'} ${LIMIT_MS} ms: ${what} move p99 by ${moved.toFixed(3)} ms against '${other}'\n`,
    );
    if (!isWithin) process.exitCode = 1;
  };

  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`);
  console.log(`${rounds} phases of each kind, of ${phaseMs / 1_000} s each\n`);

  const calls = Math.round(of('daemon', ({ callsPerSecond }) => callsPerSecond));
  console.log(`${calls} status() and ${pushesOf('daemon')} pushes a second`);
  table('loop delay, ms', [
    delay('idle'),
    delay('commits'),
    delay('daemon'),
    over('daemon', 'idle'),
    over('daemon', 'commits'),
  ]);
  verdict('calls and pushes', 'daemon', 'idle');

  const asked = (kind) => {
    const perSecond = Math.round(of(kind, (measurement) => measurement.perSecond));
    const p99Ms = of(kind, (measurement) => measurement.p99Ms).toFixed(2);
    console.log(
      `${kind}: ${perSecond} requests, answered within ${p99Ms} ms (p99), and ${pushesOf(kind)} pushes a second`,
    );
  };
  for (const kind of ['constant', 'pushes', 'status']) asked(kind);
  table('loop delay, ms', [
    delay('constant'),
    delay('pushes'),
    delay('status'),
    over('status', 'pushes'),
    over('status', 'constant'),
  ]);
  verdict('requests for status()', 'status', 'pushes');
}
