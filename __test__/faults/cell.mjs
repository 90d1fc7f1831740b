/**
 * One cell of the matrix: a fault, in a phase, on a transport. The run records the result first and compares it with
 * the expected one afterwards.
 */

import { makeScope } from '../support/cleanup.mjs';
import { collect, start, until } from '../support/daemon.mjs';
import { takeInventory } from './leaks.mjs';
import { Site } from './site.mjs';

/**
 * How a cell can end: `pushed` without an error; `retry`, pushed once the fault is over; `found`, the commit had already
 * arrived; `person`, the daemon rests until a person has reconciled the branches; `restored`, the remote had lost commits,
 * and has them again.
 *
 * @typedef {'pushed' | 'retry' | 'found' | 'person' | 'restored'} Outcome
 */

/** Short delays between attempts keep a cell short. */
const BACKOFF = { base: 50, multiplier: 1, cap: 50 };

/**
 * Limits that only a hang reaches, and limits for cells that test hangs. git's helper for HTTP hangs now and then after a
 * connection broke, so an attempt ends well before the cell gives up.
 */
const PATIENT = { connectTimeoutMs: 30_000, idleTimeoutMs: 30_000, attemptTimeoutMs: 30_000 };
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
 * @property {string} place where the fault is: the heading of its table
 * @property {string} fault
 * @property {string} phase when it strikes
 * @property {string} transport
 * @property {string} kind the expected kind; `none` for no error; `a or b` if the server's timing decides
 * @property {Outcome} outcome the expected one
 * @property {boolean} [big] whether the push is of megabytes
 * @property {boolean} [hangs] whether a limit ends the attempts
 * @property {boolean} [idle] whether there is no commit: only a reading of the remote finds the fault
 * @property {boolean} [fromStart] whether the fault is there before the daemon
 * @property {object} [options] of the daemon
 * @property {(site: Site) => unknown} [setUp] before the daemon starts
 * @property {(site: Site) => unknown} [strike] the fault; before the commit
 * @property {(site: Site) => unknown} [commit] makes the commit
 * @property {(site: Site) => unknown} [during] the fault, if it waits for a phase; after the commit
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
 * @param {ReturnType<takeInventory> | null} inventory the state before
 * @returns {Promise<{kind: string, retried: string, outcome: Outcome}>} the result
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

/** Opens everything that stays open after its first use (the runtime, the resolver), before anything is counted. */
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
    checkTransport(site);
    await cell.strike?.(site);
  }
  const commit = await commitOf(cell, site);
  await cell.during?.(site);
  let outcome = 'pushed';
  let retried = '-';
  if (cell.kind === 'none') {
    if (cell.idle) outcome = await restored(site);
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
    const isFound = !cell.idle && hasArrived(arrived);
    outcome = retried === 'no' ? 'person' : isFound ? 'found' : 'retry';
  }
  if (site.proxy?.fault && site.proxy.strikes === 0) throw new Error('the fault did not strike');
  // An attempt in flight at the end of the fault may fail in another way.
  const errors = site.log.of('error');
  const kinds = [...new Set(errors.map(({ kind }) => kind))];
  await cell.heal?.(site);
  await site.proxy?.heal();
  await inSync(site);
  const pushed = site.log.of('push').map(({ commit: pushedCommit }) => pushedCommit);
  if (new Set(pushed).size < pushed.length) throw new Error(`pushed twice: ${pushed}`);
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

/** Makes the commit that meets the fault, if there is one. */
function commitOf(cell, site) {
  if (cell.idle) return undefined;
  return cell.commit ? cell.commit(site) : site.commit({ big: cell.big });
}

/** Waits until the remote's loss is told, once, with where it was and is. */
async function restored(site) {
  const told = () => site.log.of('regressed');
  await step(site, 'a regressed event', () => told().length > 0);
  await inSync(site);
  const { from, to } = told()[0];
  if (told().length !== 1 || from !== site.repo.tip() || to === from) {
    throw new Error(`regressed events: ${JSON.stringify(told())}`);
  }
  return 'restored';
}

/** The status names the transport. */
function checkTransport({ daemon, isCli, carrier }) {
  const { transport } = daemon.status();
  if (transport !== (isCli ? 'git-cli' : carrier)) throw new Error(`over ${transport}`);
}

/** An unreadable repository counts as empty. */
function hasArrived(look) {
  try {
    return look();
  } catch {
    return false;
  }
}

/** Waits until the remote has the local tip and the daemon knows. */
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

/** Checks that each error is well-formed and that a retry follows exactly the retryable ones. */
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

/** Checks that nothing is lost or left: both repositories are sound and without locks, and the daemon ends. */
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
