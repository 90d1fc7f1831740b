/** Gates at which a remote waits until the test opens them. */

import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { collect, startInSync, until } from './daemon.mjs';
import { makeDirectory, makePair } from './git.mjs';
import { isRunning } from './proc.mjs';

/** A gate that stays shut holds a process for a minute. */
const WAIT = 'n=0; while [ ! -e "$open" ] && [ $n -lt 3000 ]; do sleep 0.02; n=$((n+1)); done';

/** A gate: shell lines that wait at it, and the test's side. It is shut at first. */
export function makeGate(t) {
  const directory = makeDirectory(t);
  const [entered, open] = ['entered', 'open'].map((name) => path.join(directory, name));
  return {
    /** For a hook or a wrapper: report the arrival, then wait. */
    lines: [`open='${open}'`, `echo $$ >>'${entered}'`, WAIT],
    /** Resolves to the ids of the processes at the gate, once there are so many. */
    entered: (times = 1) =>
      until(`${times} at the gate`, () => {
        const came = existsSync(entered)
          ? readFileSync(entered, 'utf8').split('\n').filter(Boolean).map(Number)
          : [];
        return came.length >= times && came;
      }),
    open: () => writeFileSync(open, ''),
    shut: () => {
      rmSync(open, { force: true });
      rmSync(entered, { force: true });
    },
  };
}

/** A gate in a hook of a repository, after further lines of it. */
export function gateHook(t, repository, hook = 'pre-receive', ...first) {
  const gate = makeGate(t);
  repository.hook(hook, ...first, ...gate.lines);
  return gate;
}

/** A daemon in sync with its recorded events, and a remote that holds each push at a gate before its ref moves. */
export async function startAtGate(t) {
  const { repo, remote, options } = makePair(t);
  const gate = gateHook(t, remote);
  const daemon = await startInSync(t, options);
  return { repo, remote, gate, daemon, seen: collect(daemon) };
}

/** Waits until none of the processes runs any more. */
export function ended(pids) {
  return until('the processes have ended', () => !pids.some(isRunning));
}

/** An executable shell script in its own directory. */
export function makeScript(t, ...lines) {
  const file = path.join(makeDirectory(t), 'script');
  writeFileSync(file, ['#!/bin/sh', ...lines, ''].join('\n'));
  chmodSync(file, 0o755);
  return file;
}

/** Puts a script between a repository and its `origin`; by default it ends as git's own receive-pack. */
export function wrapReceivePack(t, repo, ...lines) {
  const script = makeScript(t, ...lines, 'exec git receive-pack "$@"');
  repo.git('config', 'remote.origin.receivepack', script);
}

/** Counts from now on how often a repository's `origin` is connected to. */
export function countConnections(t, repo) {
  const log = path.join(makeDirectory(t), 'connections');
  writeFileSync(log, '');
  wrapReceivePack(t, repo, `echo connected >>'${log}'`);
  return () => readFileSync(log, 'utf8').split('\n').filter(Boolean).length;
}
