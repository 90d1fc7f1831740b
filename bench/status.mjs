/**
 * `npm run bench:status`: what the daemon costs the event loop. It measures the loop's delay in three kinds of
 * phases, which alternate since other work on the machine comes and goes:
 *
 * - idle: nothing is committed;
 * - commits: another process commits steadily to a repository that no daemon follows;
 * - daemon: it commits as steadily to one whose daemon pushes each commit to a bare repository on this
 *   machine, while this process calls `status()` 10,000 times a second.
 *
 * What is shown is the median of each percentile over the phases, and how far the daemon is from the others.
 * `npm run bench:status -- --seconds 20 --rounds 5` measures for longer.
 */

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as after } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { startPushDaemon } = createRequire(import.meta.url)('../index.js');

const CALLS_PER_SECOND = 10_000;
const COMMITS_PER_SECOND = 10;
const TICK_MS = 1;
const PERCENTILES = [50, 99, 99.9];
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
try {
  const measured = { idle: [], commits: [], daemon: [] };
  for (let round = 0; round < rounds; round += 1) {
    measured.idle.push(await measure(wake));
    measured.commits.push(await whileCommitting(unfollowed, () => measure(wake)));
    measured.daemon.push(await whileCommitting(repo, () => measure(wakeAndCall)));
  }
  report(measured);
} finally {
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

function report(measured) {
  const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
  const of = (kind, read) => median(measured[kind].map(read));
  const calls = Math.round(of('daemon', ({ callsPerSecond }) => callsPerSecond));
  const pushes = of('daemon', ({ pushesPerSecond }) => pushesPerSecond).toFixed(1);
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`);
  console.log(
    `${rounds} phases of ${phaseMs / 1_000} s each; ${calls} status() and ${pushes} pushes a second\n`,
  );
  console.log('loop delay, ms      idle   commits    daemon    over idle    over commits');
  PERCENTILES.forEach((percentile, index) => {
    const [idle, commits, busy] = ['idle', 'commits', 'daemon'].map((kind) =>
      of(kind, ({ delays }) => delays[index]),
    );
    const columns = [
      [idle, 10],
      [commits, 10],
      [busy, 10],
      [busy - idle, 13],
      [busy - commits, 16],
    ];
    const row = columns.map(([value, width]) => value.toFixed(3).padStart(width)).join('');
    console.log(`p${percentile}`.padEnd(14) + row);
  });
}
