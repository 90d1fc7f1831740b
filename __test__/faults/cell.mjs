/**
 * One cell of the matrix: a fault, in a phase, on a transport. What came is measured; what was expected is only
 * compared with it afterwards.
 */

import { makeScope } from '../support/cleanup.mjs';
import { collect, start, until } from '../support/daemon.mjs';
import { takeInventory } from './leaks.mjs';
import { Site } from './site.mjs';

/** How a cell can end, in the words of the table. */
export const OUTCOMES = {
  pushed: 'pushed as if nothing had been',
  retry: 'a retry pushes it once the fault is gone',
  found: 'it had arrived: the next look finds it',
  person: 'rests until a person has reconciled; then goes on by itself',
};

/** Delays between attempts, short so that a cell is. */
const BACKOFF = { base: 50, multiplier: 1, cap: 50 };

/** Limits that only a hang reaches, and those of cells that are about hangs. */
const PATIENT = { connectTimeoutMs: 30_000, idleTimeoutMs: 30_000, attemptTimeoutMs: 60_000 };
const IMPATIENT = {
  connectTimeoutMs: 1_500,
  idleTimeoutMs: 1_500,
  reportTimeoutMs: 1_500,
  attemptTimeoutMs: 6_000,
};
/** A login over ssh alone takes a second on a busy machine. */
const IMPATIENT_SSH = {
  connectTimeoutMs: 3_000,
  idleTimeoutMs: 3_000,
  reportTimeoutMs: 3_000,
  attemptTimeoutMs: 6_000,
};

/** How long any step may take on a busy machine. */
const LIMIT_MS = 60_000;

/**
 * @typedef {object} Cell
 * @property {string} place where the fault is: a heading of the table
 * @property {string} fault
 * @property {string} phase when it strikes
 * @property {string} transport
 * @property {string} kind the expected kind; `none` where no error is expected; `a or b` where the server decides
 * @property {keyof OUTCOMES} outcome the expected one
 * @property {boolean} [big] whether the push is of megabytes
 * @property {boolean} [hangs] whether a limit is what ends the attempts
 * @property {boolean} [fromStart] whether the fault is there before the daemon
 * @property {object} [options] of the daemon
 * @property {(site: Site) => unknown} [setUp] before the daemon starts
 * @property {(site: Site) => unknown} [strike] the fault; before the commit
 * @property {(site: Site) => unknown} [commit] makes what is to be pushed
 * @property {(site: Site) => unknown} [during] the fault, where it waits for a phase; after the commit
 * @property {(site: Site) => unknown} [heal] the end of the fault
 */

/** The name of the cell's test. */
export const nameOf = ({ transport, fault, phase }) =>
  `${transport} · ${fault}${phase ? ` ${phase}` : ''}`;

/** Whether all of the kinds that came are expected of the cell. */
export const isExpected = (cell, kinds) => {
  const expected = cell.kind.split(' or ');
  return kinds.split(' + ').every((kind) => expected.includes(kind));
};

/**
 * Runs a cell.
 *
 * @param {Cell} cell
 * @param {object} servers
 * @param {ReturnType<takeInventory> | null} inventory what was there before
 * @returns {Promise<{kind: string, retried: string, outcome: string}>} what came
 * @throws where something hangs, is lost, or is left behind
 */
export async function runCell(cell, servers, inventory = takeInventory()) {
  const t = makeScope();
  let came;
  const names = [];
  try {
    const site = await Site.make(t, servers, cell.transport);
    names.push(site.name, site.repo.path);
    came = await happen(cell, site);
    await checkSound(site);
  } finally {
    await t.end();
  }
  await inventory?.check(names);
  return came;
}

/** What the first use of anything opens for good (the runtime, the resolver) must be open before it is counted. */
export async function warmUp(transport, servers) {
  const cell = { fault: 'none', transport, kind: 'none', outcome: 'pushed' };
  await runCell(cell, servers, null);
}

async function happen(cell, site) {
  await cell.setUp?.(site);
  const impatient = site.carrier === 'ssh' ? IMPATIENT_SSH : IMPATIENT;
  const limits = cell.hangs ? impatient : PATIENT;
  const launch = () => {
    site.daemon = start(site.t, {
      remote: 'origin',
      branch: 'main',
      repoPath: site.repo.path,
      backoff: BACKOFF,
      transport: site.isCli ? 'git-cli' : 'auto',
      divergedProbeMs: 100,
      // Each fault meets a connection of its own.
      keepConnectionMs: 0,
      ...limits,
      ...cell.options?.(site),
    });
    site.log = collect(site.daemon);
  };
  if (cell.fromStart) {
    await cell.strike?.(site);
    launch();
  } else {
    launch();
    await inSync(site);
    await cell.strike?.(site);
  }
  const commit = cell.commit ? await cell.commit(site) : site.commit({ big: cell.big });
  await cell.during?.(site);
  let outcome = 'pushed';
  let retried = '-';
  if (cell.kind === 'none') {
    await inSync(site);
  } else {
    if (site.proxy?.fault) await step(site, 'the fault to strike', () => site.proxy.strikes > 0);
    await step(site, 'an error event', () => site.log.of('error').length > 0);
    await step(site, 'what follows the error', () => {
      const { state } = site.daemon.status();
      return site.log.of('retry').length > 0 || state === 'diverged' || state === 'gave-up';
    });
    retried = site.log.of('retry').length > 0 ? 'yes' : 'no';
    const arrived = () => site.remote.tip() === (commit ?? site.repo.tip());
    outcome = retried === 'no' ? 'person' : hasArrived(arrived) ? 'found' : 'retry';
  }
  if (site.proxy?.fault && site.proxy.strikes === 0) throw new Error('the fault did not strike');
  // What is in flight when the fault goes may fail in another way.
  const errors = site.log.of('error');
  const kinds = [...new Set(errors.map(({ kind }) => kind))];
  await cell.heal?.(site);
  await site.proxy?.heal();
  await inSync(site);
  if (errors.length > 0) {
    await step(site, 'a recovered event', () => site.log.of('recovered').length > 0);
    checkEvents(site);
  }
  return {
    kind: kinds.join(' + ') || 'none',
    retried,
    outcome,
    message: errors[0]?.err.message,
  };
}

/** A repository that is out of order has nothing. */
function hasArrived(look) {
  try {
    return look();
  } catch {
    return false;
  }
}

/** The remote has the local tip, and the daemon knows. */
async function inSync(site) {
  await step(site, 'everything to be pushed', () => {
    const { state, pendingCommits, localCommit } = site.daemon.status();
    if (state !== 'in-sync' || pendingCommits !== 0) return false;
    const tip = site.repo.tip();
    return localCommit === tip && site.remote.tip() === tip;
  });
}

async function step(site, what, look) {
  await until(what, look, LIMIT_MS).catch((error) => {
    const told = site.log.events.map(({ name, payload }) =>
      [name, payload.kind, payload.err?.message].filter(Boolean).join(': '),
    );
    error.message += `\nevents: ${told.slice(0, 12).join(' | ')}\nstatus: ${JSON.stringify(site.daemon.status())}`;
    throw error;
  });
}

/** Each error is well-formed, and followed by its retry exactly where it says so. */
function checkEvents(site) {
  for (const { kind, reason, retryable, hint, err } of site.log.of('error')) {
    const isFinal = kind === 'non-fast-forward';
    const isWell =
      reason === (isFinal ? 'non-fast-forward' : 'unknown') &&
      retryable === !isFinal &&
      hint.length > 0 &&
      err instanceof Error;
    if (!isWell) throw new Error(`an error event that contradicts itself: ${kind}, ${reason}`);
  }
  const { events } = site.log;
  events.forEach(({ name, payload }, index) => {
    if (name !== 'error' || !payload.retryable) return;
    const next = events[index + 1];
    if (next?.name !== 'retry') throw new Error(`after an error came '${next?.name}'`);
  });
}

/** Nothing is lost and nothing is left: both repositories are sound and without locks, and the daemon ends. */
async function checkSound(site) {
  const { drained, pendingCommits } = await site.daemon.stop();
  if (!drained || pendingCommits !== 0) throw new Error('stop() did not drain');
  const tip = site.repo.tip();
  if (site.remote.tip() !== tip) throw new Error('the remote lacks the tip');
  for (const repository of [site.repo, site.remote]) {
    repository.fsck();
    const locks = repository.locks();
    if (locks.length > 0) throw new Error(`locks are left: ${locks.join(', ')}`);
  }
}
