/**
 * The loss of a pod, rehearsed: the example API writes under load over ssh, is killed, and its data directory is deleted.
 * A new process restores the data from the remote, serves and goes on.
 */

import { rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { Api, TOKEN } from './api.mjs';
import { makeScope } from './cleanup.mjs';
import { GIT_ENV, makeDirectory, makeRemote } from './git.mjs';

/** `sync` answers a write once its commit is on the remote, `background` once it is committed. */
export const MODES = ['sync', 'background'];

/** Clients that write one after the other, without a pause. */
const WRITERS = 4;
/** The pod is lost after so long under load, at the earliest and the latest. */
const LOST_AFTER_MS = [300, 2_500];

/**
 * Loses a pod once.
 *
 * @param {object} server an sshd
 * @param {'sync' | 'background'} mode
 * @param {() => number} random
 */
export async function rehearse(server, mode, random) {
  const t = makeScope();
  try {
    const remote = makeRemote(t);
    remote.commit();
    const env = {
      ...GIT_ENV,
      PATH: process.env.PATH,
      GIT_SSH_COMMAND: server.command,
      CFP_DATA_REPO_PATH: path.join(makeDirectory(t), 'data.git'),
      CFP_DATA_REMOTE: server.url(remote.path),
      CFP_DATA_PUSH_MODE: mode,
      ADMIN_TOKEN: TOKEN,
    };
    const lost = await Api.start(t, env);
    const answered = await loseUnderLoad(lost, random);
    rmSync(env.CFP_DATA_REPO_PATH, { recursive: true });

    const startedAt = performance.now();
    const restored = await Api.start(t, env);
    const rto = performance.now() - startedAt;
    const result = await compare({ mode, answered, lost, restored, remote });

    // It goes on.
    const commit = await restored.put('afterwards');
    await restored.logged('pushed', (line) => line.commit === commit);
    restored.signal('SIGTERM');
    await restored.exited;
    remote.fsck();
    return { ...result, rto };
  } finally {
    await t.end();
  }
}

/** Writes until the process is killed at a random moment. Returns the writes that were answered as done. */
async function loseUnderLoad(api, random) {
  const answered = [];
  const write = async (writer) => {
    for (let number = 0; ; number += 1) {
      const slug = `writer-${writer}-${number}`;
      const startedAt = performance.now();
      let response;
      try {
        response = await api.fetch(`/proposals/${slug}`, {
          method: 'PUT',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ title: slug, speaker: 'Somebody' }),
        });
        const { commit, pending = false } = await response.json();
        if (!response.ok) throw new Error(`PUT answered ${response.status}`);
        const took = performance.now() - startedAt;
        if (!pending) answered.push({ slug, commit, took, at: Date.now() });
      } catch (error) {
        // The process was killed.
        if (response === undefined || response.ok) return;
        throw error;
      }
    }
  };
  const writing = Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
  const [earliest, latest] = LOST_AFTER_MS;
  await pause(earliest + random() * (latest - earliest));
  api.kill();
  await api.exited;
  await writing;
  return answered;
}

/** What of the answered writes is there after the loss, and how long each was at risk. */
async function compare({ mode, answered, lost, restored, remote }) {
  const order = remote.git('rev-list', '--reverse', 'main').split('\n');
  const place = new Map(order.map((commit, index) => [commit, index]));
  const pushes = lost.lines('pushed').map(({ commit, time }) => ({ at: place.get(commit), time }));
  const missing = [];
  const rpo = [];
  for (const { slug, commit, took, at } of answered) {
    const { ok } = await restored.fetch(`/proposals/${slug}`);
    if (!ok) missing.push(slug);
    const index = place.get(commit);
    if (ok !== (index !== undefined)) throw new Error(`${slug}: the API and the remote disagree`);
    const push = pushes.find((one) => one.at >= index);
    if (mode === 'sync') rpo.push(took);
    else if (push !== undefined) rpo.push(Math.max(0, push.time - at));
  }
  return {
    answered: answered.length,
    missing,
    // Confirmed to a client, or by a `push` event, and not there all the same.
    broken: [
      ...(mode === 'sync' ? missing : []),
      ...pushes.filter(({ at }) => at === undefined).map(() => 'a pushed commit'),
    ],
    rpo,
  };
}
