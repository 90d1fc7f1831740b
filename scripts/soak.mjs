/**
 * `npm run soak`: one process pushes 5 commits a second to three remotes (a path, ssh, https) for 20 minutes, while
 * random faults hit the remotes, the network, the servers and the repository. At the end each remote must have every
 * commit, and the process must hold no more than at the start: memory, descriptors, children, threads.
 *
 * `npm run soak -- --minutes 2 --seed 7` is shorter and has other faults; `--write` writes the result into
 * docs/reliability.md. The times run from a commit to its arrival, faults included. They mean little on a busy machine.
 */

import { statSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { makeScope } from '../__test__/support/cleanup.mjs';
import { until } from '../__test__/support/daemon.mjs';
import { randomFrom } from '../__test__/support/random.mjs';
import { missing } from '../__test__/support/servers.mjs';
import { table } from './markdown.mjs';
import { Failed, interruption, main, style } from './process.mjs';
import { circumstances, writeSection } from './reliability.mjs';
import { makeLanes, runLane } from './soak/faults.mjs';
import { HEAD, holdings, Ledger } from './soak/ledger.mjs';
import { openWorld } from './soak/world.mjs';

const PER_SECOND = 5;
const SAMPLE_MS = 2_000;
const MINUTE_MS = 60_000;
/** How long everything may take to arrive once the faults are over. */
const CALM_MS = 120_000;
/** How many of the last faults a failed run prints. */
const STORY = 60;
/** Allowance for the start and the end. */
const AROUND_MS = 10 * MINUTE_MS;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    write: { type: 'boolean', default: false },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const isInterrupted = interruption();

await main(async () => {
  if (!(minutes > 0)) throw new Failed('--minutes must be a number above 0');
  const absent = missing.ssh || missing.https;
  if (absent) throw new Failed(absent);
  const scope = makeScope();
  try {
    const { findings, ledger } = await soak(scope);
    const failed = findings.filter(({ holds }) => !holds);
    const verdict =
      failed.length === 0
        ? 'It holds.'
        : `It does NOT hold: ${failed.length} of ${findings.length}.`;
    const listed = findings.map(({ holds, what }) => `- ${holds ? '' : '**NO**: '}${what}`);
    console.log(`\n${listed.join('\n')}\n\n${style.bold(verdict)}`);
    console.log(`${sorted(ledger.faults, 'Faults')}\n${sorted(ledger.failures, 'Failures')}`);
    if (isInterrupted()) throw new Failed('interrupted');
    if (values.write) writeSection('soak', report({ listed, verdict, ledger }));
    if (failed.length > 0) {
      throw new Failed(`${verdict} The last faults:\n${ledger.story.slice(-STORY).join('\n')}`);
    }
  } finally {
    await scope.end();
  }
});

async function soak(scope) {
  const random = randomFrom(seed);
  const ledger = new Ledger(['local', 'ssh', 'https']);
  const world = await openWorld(scope, {
    limitMs: minutes * MINUTE_MS + AROUND_MS,
    onHost: (told) => {
      if (told.push) ledger.pushed(told);
      if (told.error) ledger.failed(told);
    },
    onCommit: (told) => ledger.committed(told),
  });
  const { repo, remotes, host } = world;
  await host.untilTold(({ point }) => point === 'before');
  const before = holdings(host.pid);
  host.kill('SIGUSR2');
  await host.untilTold(({ point }) => point === 'running');

  const writer = world.startWriter('first', PER_SECOND);
  const startedAt = performance.now();
  let isBroken = false;
  const breakOff = () => {
    isBroken = true;
  };
  const isOver = () =>
    isBroken || isInterrupted() || performance.now() - startedAt > minutes * MINUTE_MS;
  writer.ended.then(breakOff, breakOff);
  const lanes = Promise.all(
    makeLanes(world, random).map((lane, index) =>
      runLane(lane, {
        random: randomFrom(seed * 100 + index),
        isOver,
        onFault: (name, kind) => ledger.faulted(name, kind),
        onHealed: (name, kind) => ledger.healed(name, kind),
      }),
    ),
  );
  // `await lanes` below rethrows what it threw.
  lanes.catch(breakOff);
  await watch({ ledger, host, isOver, startedAt });
  await lanes;
  writer.kill('SIGTERM');
  const end = await writer.ended;
  if (end.code !== 0) throw new Failed(`the writer ended with ${end.code}: ${end.stderr}`);

  const tip = repo.tip();
  const late = [];
  for (const { name, repo: remote } of remotes) {
    await until(`${name} has all`, () => remote.tip() === tip, CALM_MS).catch((error) =>
      late.push(error.message),
    );
  }
  host.kill('SIGUSR2');
  const { ends } = await host.untilTold(({ point }) => point === 'after');
  await until('what is closing has closed', () => sameHoldings(holdings(host.pid), before)).catch(
    () => {},
  );
  const after = holdings(host.pid);
  host.kill('SIGUSR2');
  const { code, stderr } = await host.ended;

  const sides = [repo, ...remotes.map(({ repo: remote }) => remote)];
  const locks = sides.flatMap((side) => side.locks()).map(lockInWords);
  const finding = (what, holds) => ({ what, holds });
  const [memory, open] = ['bytes', 'descriptors'].map((held) => ledger.growth(held));
  const findings = [
    finding(
      `each of the ${ledger.commits.length} commits is on each remote, and nothing else is${late.length > 0 ? `; ${late}` : ''}`,
      remotes.every(({ repo: remote }) => hasExactly(remote, repo, ledger.commits)),
    ),
    finding('`git fsck` finds nothing on any side', sides.every(isSound)),
    finding(`no lock is left on any side${locks.join('')}`, locks.length === 0),
    finding(
      'the daemons stopped with nothing pending',
      ends.every(({ drained, pendingCommits }) => drained && pendingCommits === 0),
    ),
    finding('the process exited by itself, without output', code === 0 && stderr === ''),
    finding(`the memory is flat: ${memory.words}`, memory.isFlat),
    finding(`the descriptors are flat: ${open.words}`, open.isFlat),
    ...['descriptors', 'children', 'threads'].map((held) =>
      finding(
        `${held} after the end: ${after[held]}, before the start: ${before[held]}`,
        after[held] <= before[held],
      ),
    ),
    finding(
      `faults hit the daemon: ${ledger.totals.failures} failed attempts`,
      ledger.totals.failures > 0,
    ),
  ];
  return { findings, ledger };
}

/** Samples what the process holds and prints a row each minute, until the soak is over. */
async function watch({ ledger, host, isOver, startedAt }) {
  console.log(table(HEAD, []));
  let minute = 1;
  while (!isOver()) {
    await pause(SAMPLE_MS);
    ledger.sample(host.pid);
    if (performance.now() - startedAt < minute * MINUTE_MS && !isOver()) continue;
    console.log(`| ${[minute, ...ledger.endMinute()].join(' | ')} |`);
    minute += 1;
  }
}

function sameHoldings(now, before) {
  return ['descriptors', 'children', 'threads'].every((held) => now[held] <= before[held]);
}

function hasExactly(remote, repo, commits) {
  const list = (side) => side.git('rev-list', 'main');
  const there = list(remote);
  const known = new Set(there.split('\n'));
  return there === list(repo) && commits.every((commit) => known.has(commit));
}

function lockInWords(file) {
  return `; ${file} of ${statSync(file).mtime.toISOString()}`;
}

function isSound(side) {
  try {
    side.fsck();
    return true;
  } catch (error) {
    console.error(error.message);
    return false;
  }
}

/** Counts, the most frequent first. */
function sorted(counts, what) {
  const listed = [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([name, times]) => `${name} ${times}`);
  return `${what}: ${listed.join('; ') || 'none'}`;
}

/** Counts by kind and by where they occurred, as a table. */
function grid(counts, what) {
  const names = [...counts.keys()].map((name) => name.split(': '));
  const lanes = [...new Set(names.map(([lane]) => lane))].sort();
  const kinds = [...new Set(names.map(([, kind]) => kind))].sort();
  return table(
    [what, ...lanes],
    kinds.map((kind) => [kind, ...lanes.map((lane) => counts.get(`${lane}: ${kind}`) ?? '')]),
  );
}

function report({ listed, verdict, ledger }) {
  return [
    '## Soak',
    `\`npm run soak -- --minutes ${minutes} --seed ${seed}\`, ${circumstances()}. **${verdict}**`,
    listed.join('\n'),
    `${ledger.commits.length} commits, ${ledger.totals.pushes} pushes, ${ledger.totals.failures} failed attempts. From a commit to its arrival, faults included (p50, p99): ${ledger.lag} s.`,
    grid(ledger.faults, 'fault'),
    grid(ledger.failures, 'kind of failure'),
  ].join('\n\n');
}
