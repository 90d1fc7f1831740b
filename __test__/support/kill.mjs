/**
 * Kills the host process at a given point of a push and starts it again. The same must hold for every point: the remote
 * receives each commit, both repositories are sound, and nothing of the killed process remains.
 *
 * The points are gates on the remote's side (see `gate.mjs`): the first push waits at the gate, and all others pass. So
 * the new process meets the old push that is still on the remote.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { startScript } from './child.mjs';
import { atEnd, makeScope } from './cleanup.mjs';
import { until } from './daemon.mjs';
import { makeGate, makeScript } from './gate.mjs';
import { makeDirectory, makePair } from './git.mjs';
import { commandLine, descendants, isRunning, processesIn } from './proc.mjs';
import { missing, startSshd } from './servers.mjs';

/** More bytes than all buffers between the two sides hold. */
const LARGE = 6 * 1024 * 1024;
/** Where in its pack a large push waits. */
const PART = 256 * 1024;
/** Within which the moment of a kill at random lies: a push takes about as long. */
const RANDOM_MS = 120;
const HOST_LIMIT_MS = 120_000;
const NEVER = { base: 3_600_000, multiplier: 1, cap: 3_600_000 };
const SOON = { base: 50, multiplier: 2, cap: 500 };

const HOST = `
const daemon = startPushDaemon(input).ref();
for (const name of ['push', 'error', 'retry']) {
  daemon.on(name, ({ err, ...payload }) => tell({ event: name, ...payload, message: err?.message }));
}
process.once('SIGTERM', async () => tell({ stopped: await daemon.stop() }));
let state;
const look = setInterval(() => {
  const { state: now, localCommit } = daemon.status();
  if (now !== state) tell({ state: now, localCommit });
  state = now;
  if (now === 'stopped') clearInterval(look);
}, 2);
`;

/** The transports that are tested. `missing` says why one cannot run here, or is false. */
export const TRANSPORTS = [
  { name: 'local', missing: false, open: async () => ({ url: (place) => place, env: {} }) },
  {
    name: 'ssh',
    missing: missing.ssh,
    open: async (t) => {
      const sshd = await startSshd(t);
      const env = { GIT_SSH_COMMAND: sshd.command, GIT_SSH_VARIANT: 'ssh' };
      return { url: sshd.url, env, server: sshd };
    },
  },
];

/** Between the two sides of a connection: receive-pack with a gate in front of or behind it. */
const behind = (lines) => ['git receive-pack "$@" | {', ...lines, 'exec cat; }'];
const before = (first, lines) => ['{', first, ...lines, 'exec cat; } | git receive-pack "$@"'];

/** A hook that holds the first push which comes to it, where `condition` holds. */
function hold(name, condition = 'true') {
  return ({ remote, first, gate }) => {
    remote.hook(name, `if ${condition} && ${first}; then`, ...gate.lines, 'fi', 'exit 0');
  };
}

/** A receive-pack of which the first one runs these lines instead. */
function wrap(lines) {
  return ({ scope, repo, first, gate }) => {
    const script = [`if ${first}; then`, ...lines(gate.lines), 'exit; fi'];
    const receivePack = makeScript(scope, ...script, 'exec git receive-pack "$@"');
    repo.git('config', 'remote.origin.receivepack', receivePack);
  };
}

/**
 * Where the process is killed. `arm` sets the gate up; `reach` brings the process there and resolves when it is.
 * Without `reach` a commit is made, the process is started, and it is there when the gate has been entered.
 */
export const PHASES = [
  {
    name: 'before it connects',
    arm: (round) => {
      const { scope, first, gate, transport } = round;
      if (!transport.server)
        return wrap((lines) => [...lines, 'exec git receive-pack "$@"'])(round);
      const ssh = [
        `if ${first}; then`,
        ...gate.lines,
        'fi',
        `exec ${transport.env.GIT_SSH_COMMAND} "$@"`,
      ];
      round.env = { ...transport.env, GIT_SSH_COMMAND: makeScript(scope, ...ssh) };
    },
  },
  { name: 'before the advertisement', arm: wrap(behind) },
  {
    name: 'after the advertisement',
    arm: wrap((lines) => before('dd bs=1 count=4 2>/dev/null', lines)),
  },
  {
    name: 'mid-pack',
    arm: wrap((lines) => before(`head -c ${PART}`, lines)),
    files: () => ({ large: randomBytes(LARGE).toString('base64') }),
  },
  { name: 'after the pack', arm: hold('pre-receive') },
  {
    name: 'with the ref locked',
    arm: hold('reference-transaction', '[ "$1" = prepared ]'),
    // While the old push holds the lock, the new one must retry.
    excuses: ['remote-lock'],
    isLocked: true,
  },
  {
    name: 'before the report',
    arm: hold('reference-transaction', '[ "$1" = committed ]'),
    reached: ({ remote, tip }) => assert.equal(remote.tip(), tip, 'the ref has moved'),
  },
  {
    name: 'after the report',
    arm: hold('post-receive'),
    reached: ({ host, tip }) => host.untilTold(({ event, commit }) => event && commit === tip),
  },
  {
    name: 'in sync',
    reach: async (round) => {
      await round.startHost();
      await round.host.untilTold(({ state }) => state === 'in-sync');
      round.commit();
      await round.host.untilTold(({ event, commit }) => event === 'push' && commit === round.tip);
      await round.host.untilTold(
        ({ state, localCommit }) => state === 'in-sync' && localCommit === round.tip,
      );
    },
    // Without this commit there would be nothing to lose.
    killed: (round) => round.commit(),
  },
  {
    name: 'in backoff',
    options: { backoff: NEVER },
    reach: async (round) => {
      round.remote.hook('pre-receive', 'exit 1');
      round.commit();
      await round.startHost();
      await round.host.untilTold(({ event }) => event === 'retry');
      await round.host.untilTold(({ state }) => state === 'backing-off');
    },
    killed: ({ remote }) => remote.removeHook('pre-receive'),
  },
  {
    name: 'in debounce',
    options: { debounceMs: 3_600_000 },
    reach: async (round) => {
      await round.startHost();
      await round.host.untilTold(({ state }) => state === 'in-sync');
      round.commit();
      await round.host.untilTold(({ state }) => state === 'debouncing');
    },
  },
  {
    name: 'at a random moment',
    reach: async (round) => {
      await round.startHost();
      await round.host.untilTold(({ state }) => state === 'in-sync');
      round.commit();
      await pause(round.random() * RANDOM_MS);
    },
  },
];

/** One round: a pair of repositories and two runs of the host. */
class Round {
  constructor({ scope, transport, phase, random }) {
    const { repo, remote, options } = makePair(scope);
    repo.git('remote', 'set-url', 'origin', transport.url(remote.path));
    Object.assign(this, { scope, transport, phase, random, repo, remote, options });
    this.env = transport.env;
    this.gate = makeGate(scope);
    /** A condition of a shell that holds once. */
    this.first = `mkdir '${path.join(makeDirectory(scope), 'taken')}' 2>/dev/null`;
  }

  commit() {
    this.tip = this.repo.commit({ files: this.phase.files?.() });
  }

  async startHost(options = this.phase.options) {
    this.host = startScript(HOST, {
      input: { ...this.options, backoff: SOON, ...options },
      env: this.env,
      limitMs: HOST_LIMIT_MS,
    });
    const { host } = this;
    atEnd(this.scope, () => {
      host.kill();
      return host.ended.catch(() => {});
    });
  }

  /** Brings the host to the point of the phase. */
  async reach() {
    if (this.phase.reach) return this.phase.reach(this);
    this.phase.arm(this);
    this.commit();
    await this.startHost();
    this.held = await this.gate.entered();
    await this.phase.reached?.(this);
  }

  /** Kills the host; resolves to the processes that it had started. */
  async kill() {
    const pids = descendants(this.host.pid);
    const left = pids.map((pid) => ({ pid, command: commandLine(pid) }));
    this.host.kill('SIGKILL');
    await this.host.ended;
    this.phase.killed?.(this);
    return left;
  }

  /** Asserts that the daemon of the second run has pushed everything and continues. */
  async assertPushes() {
    const { host, remote } = this;
    const isThere = ({ state, localCommit }) => state === 'in-sync' && localCommit === this.tip;
    await host.untilTold(isThere);
    assert.equal(remote.tip(), this.tip);
    const next = this.repo.commit();
    await host.untilTold(({ event, commit }) => event === 'push' && commit === next);
    assert.equal(remote.tip(), next);
    host.kill('SIGTERM');
    const { code, told, stderr } = await host.ended;
    assert.equal(code, 0, stderr);
    const end = told.find(({ stopped }) => stopped);
    assert.deepEqual(end?.stopped, { drained: true, pendingCommits: 0 });
    const errors = told.filter(({ event }) => event === 'error');
    const { excuses = [] } = this.phase;
    assert.deepEqual(
      errors.filter(({ kind }) => !excuses.includes(kind)),
      [],
    );
  }

  /** Asserts that no process is left on the remote and both sides are clean. */
  async assertClean() {
    const { repo, remote, transport } = this;
    // Other rounds use the same server.
    const isOfThisRound = (pid) => commandLine(pid).includes(remote.path);
    const isAnyLeft = () =>
      (this.held ?? []).some(isRunning) ||
      processesIn(remote.path).length > 0 ||
      (transport.server && descendants(transport.server.pid).some(isOfThisRound));
    await until('no process works at the remote', () => !isAnyLeft());
    for (const side of [repo, remote]) {
      side.fsck();
      assert.deepEqual(side.locks(), []);
    }
    assert.equal(remote.count(), repo.count());
  }
}

/**
 * Kills a host in this phase, starts it again, and checks the result. In every second round the old push continues only
 * after the new host has pushed; in the others, when the new host starts.
 *
 * @param {{transport: object, phase: object, round: number, random: () => number}} options
 * @returns {Promise<{outlivedMs: number, outlived: string[], inSyncMs: number}>} how long what the host had started
 * outlived it, and from the start of the new host until all commits were on the remote
 */
export async function killAndRestart({ transport, phase, round: number, random }) {
  const scope = makeScope();
  const round = new Round({ scope, transport, phase, random });
  try {
    const staysShut = number % 2 === 0;
    await round.reach();
    const left = await round.kill();
    const killedAt = performance.now();
    const isLeft = ({ pid }) => isRunning(pid);
    const outlived = left.filter(isLeft).map(({ command }) => command);
    const isAlone = until('what the host had started has ended', () => !left.some(isLeft)).then(
      () => performance.now() - killedAt,
    );
    isAlone.catch(() => {});
    if (!staysShut) {
      // The old push continues, so this round does not measure what would end by itself.
      round.gate.open();
    }
    const startedAt = performance.now();
    await round.startHost({});
    if (staysShut) {
      const isBlocked = phase.isLocked && transport.server;
      await round.host.untilTold(
        isBlocked
          ? ({ event, kind }) => event === 'error' && kind === 'remote-lock'
          : ({ state, localCommit }) => state === 'in-sync' && localCommit === round.tip,
      );
    }
    if (phase.isLocked) await isAlone;
    round.gate.open();
    await round.host.untilTold(
      ({ state, localCommit }) => state === 'in-sync' && localCommit === round.tip,
    );
    const inSyncMs = performance.now() - startedAt;
    const outlivedMs = await isAlone;
    await round.assertPushes();
    await round.assertClean();
    return { outlivedMs, outlived, inSyncMs, staysShut };
  } finally {
    round.gate.open();
    await scope.end();
  }
}
