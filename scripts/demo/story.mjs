/** The demo's steps, in order. Each explains itself and checks its result. */

import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';

import { duration, style } from '../process.mjs';
import { brief, demand, size } from './narrator.mjs';
import { holdsFor, until } from './wait.mjs';

const BURST = 20;
const QUIET_MS = 1_000;

/** 8 MiB, which take the slow link some seconds. */
const LARGE = { commits: 4, files: 4, bytes: 512 * 1024 };

/** Delays short enough to watch: 200 ms, 400 ms, 800 ms, ... */
export const BACKOFF = { base: 200, multiplier: 2, cap: 2_000 };

/** @param {{narrator: object, start: () => Promise<object>, place: object}} options `start` starts the API */
export async function tellStory({ narrator, start, place }) {
  const api = await dataIsRestored({ narrator, start, place });
  await writesArePushed({ narrator, api, place });
  await statusIsThere({ narrator, api, place });
  await outageHeals({ narrator, api, place });
  await divergenceNeedsAPerson({ narrator, api, place });
  await largePushHasProgress({ narrator, api, place });
  await shutdownDrains({ narrator, api, place });
  await lostDataComesBack({ narrator, start, place });
}

async function dataIsRestored({ narrator, start, place }) {
  narrator.step('The API starts without data: it is cloned from the remote');
  narrator.check(!existsSync(place.data), 'there is no data directory');
  const api = await start();
  const restored = api.early('the data was not there');
  demand(restored !== undefined, 'the log says that the data is restored');
  narrator.log(restored, 'commit', 'durationMs');
  narrator.check(
    (await place.localTip()) === (await place.remoteTip()),
    "the data directory is a clone, with the remote's tip",
  );
  return api;
}

async function writesArePushed({ narrator, api, place }) {
  narrator.step('A write over HTTP is a commit, and the commit is pushed');
  const first = await write(narrator, api, 'rust-in-node', 'Rust in Node');
  const pushed = await showPushed(narrator, api, first.commit);
  narrator.check(
    (await place.remoteTip()) === first.commit,
    `git finds ${brief(pushed.commit)} at the remote's ${place.branch}`,
  );

  const startedAt = performance.now();
  const pushesBefore = api.count('pushed');
  const writes = await Promise.all(
    Array.from({ length: BURST }, (_, index) => api.put(`talk-${index}`, talk(`Talk ${index}`))),
  );
  const created = writes.filter(({ status }) => status === 201).length;
  const commits = new Set(writes.map(({ commit }) => commit)).size;
  narrator.say(`${BURST} PUT requests at once: ${created} answered 201, with ${commits} commits`);
  demand(created === BURST && commits === BURST, 'each write is a commit of its own', writes);

  const tip = await place.localTip();
  await api.logged('pushed', ({ commit }) => commit === tip);
  const pushes = api.count('pushed') - pushesBefore;
  narrator.say(
    `${duration(performance.now() - startedAt)} after the first request all are pushed, in ${pushes} ` +
      `push${pushes === 1 ? '' : 'es'}: what is committed during a push goes out together`,
  );
  narrator.check(
    (await place.remoteTip()) === tip,
    `git finds ${brief(tip)}, the last, at the remote`,
  );
}

async function statusIsThere({ narrator, api, place }) {
  narrator.step('The status says what is where');
  const { status } = await api.get('/admin/push-daemon');
  narrator.check(status === 401, 'without its token the admin route answers 401');
  const now = await api.statusOnce('nothing is pending', ({ state }) => state === 'in-sync');
  for (const key of [
    'state',
    'branch',
    'pendingCommits',
    'lastPushAt',
    'localCommit',
    'remoteCommit',
  ]) {
    narrator.say(`${key.padEnd(16)}${brief(now[key])}`);
  }
  narrator.say(`${'totals'.padEnd(16)}${JSON.stringify(now.totals)}`);
  narrator.check(
    now.pendingCommits === 0 && now.remoteCommit === (await place.localTip()),
    'nothing is pending, and the remote has the local tip',
    now,
  );
}

async function outageHeals({ narrator, api, place }) {
  narrator.step('The remote goes away, and comes back');
  if (!place.control) return narrator.skip('it needs control of the remote');

  place.control.goAway();
  narrator.say('the remote is gone');
  const { commit } = await write(narrator, api, 'during-the-outage', 'Written during the outage');
  const failed = await api.logged('push failed');
  narrator.log(failed, 'kind', 'attempt');
  narrator.check(failed.reason === 'unknown', 'the failure is one that heals', failed);

  narrator.log(await api.logged('push retry'), 'attempt', 'nextDelayMs');
  const delays = [];
  while (delays.length < 3) {
    const { currentBackoffMs } = await api.statusOnce(
      'the next attempt failed too',
      (status) => status.currentBackoffMs !== null && status.currentBackoffMs !== delays.at(-1),
    );
    delays.push(currentBackoffMs);
  }
  narrator.check(
    delays.every((delay, index) => index === 0 || delay > delays[index - 1]),
    `the status says that each delay is longer than the one before: ${delays.join(', ')} ms`,
  );
  narrator.check(
    api.count('push failed') === 1 && api.count('push retry') === 1,
    'the log says so once: an outage does not flood it',
  );
  const isWaiting = ({ state, pendingCommits }) => state === 'backing-off' && pendingCommits === 1;
  await api.statusOnce('the status says that it waits with 1 pending commit', isWaiting);
  narrator.check(
    true,
    'the status says so: backing-off, 1 commit pending; writes are answered as ever',
  );

  place.control.comeBack();
  narrator.say('the remote is back');
  await showPushed(narrator, api, commit);
  narrator.log(await api.logged('push recovered'), 'failedAttempts', 'downMs');
  narrator.check((await place.remoteTip()) === commit, `git finds ${brief(commit)} at the remote`);
}

async function divergenceNeedsAPerson({ narrator, api, place }) {
  narrator.step('Somebody else pushes: nothing is forced, and a person reconciles');
  if (!place.control) return narrator.skip('it needs control of the remote');

  const theirs = await place.control.pushAs(
    'A Colleague',
    'proposals/keynote.toml',
    'title = "Keynote"\nspeaker = "A Colleague"\n',
  );
  narrator.say(`a colleague pushed ${brief(theirs)} from another clone`);
  const failuresBefore = (await api.status()).totals.failures;
  const retriesBefore = api.count('push retry');
  const { commit: ours } = await write(narrator, api, 'meanwhile', 'Written meanwhile');
  const refused = await api.logged('push refused');
  narrator.log(refused, 'reason', 'remoteCommit');
  narrator.check(
    refused.reason === 'non-fast-forward' && refused.level === 50,
    'an error names it',
  );
  narrator.check(
    (await place.remoteTip()) === theirs,
    "the colleague's commit was not overwritten",
  );

  const once = (status) =>
    status.state === 'diverged' && status.totals.failures === failuresBefore + 1;
  narrator.check(
    await holdsFor(QUIET_MS, async () => once(await api.status())),
    `it was tried once and is left alone (watched for ${duration(QUIET_MS)})`,
    await api.status(),
  );
  narrator.check(
    api.count('push refused') === 1 && api.count('push retry') === retriesBefore,
    'one line in the log, and no retry',
  );

  narrator.say('the operator reconciles, in the data repository:');
  const merged = await reconcile(narrator, place, ours);
  await showPushed(narrator, api, merged);
  narrator.check(
    (await place.remoteTip()) === merged,
    `pushing went on by itself: git finds the merge ${brief(merged)} at the remote`,
  );
  const keynote = await api.get('/proposals/keynote');
  narrator.check(keynote.status === 200, "the API serves the colleague's proposal too");
}

/** Merges, so that commits that clients know stay in the history. */
async function reconcile(narrator, { git, data, folder, branch }, ours) {
  const worktree = path.join(folder, 'reconcile');
  const operator = (where, ...args) => {
    narrator.say(style.dim(`$ git ${brief(args.join(' ')).replaceAll(`${folder}/`, '')}`));
    return git(where, ...args);
  };
  await operator(data, 'fetch', '--quiet', 'origin', branch);
  const theirs = await git(data, 'rev-parse', 'FETCH_HEAD');
  await operator(data, 'worktree', 'add', '--quiet', '--detach', worktree, branch);
  await operator(worktree, 'merge', '--quiet', '--no-edit', theirs);
  const merged = await git(worktree, 'rev-parse', 'HEAD');
  await operator(data, 'update-ref', `refs/heads/${branch}`, merged, ours);
  await operator(data, 'worktree', 'remove', worktree);
  return merged;
}

async function largePushHasProgress({ narrator, api, place }) {
  narrator.step('A large push over a slow link shows how far it has come');
  if (!place.control) return narrator.skip('it needs control of the remote');

  const speedUp = await place.control.slowDown();
  const { commits, files, bytes } = LARGE;
  const tip = await place.control.commitLarge(commits, files, bytes);
  narrator.say(
    `the operator committed ${commits * files} files of ${size(bytes)} in ${commits} commits`,
  );
  const seen = [];
  await until('the large push arrives', async () => {
    const { progress, remoteCommit } = await api.status();
    if (progress !== null && progress.elapsedMs !== seen.at(-1)?.elapsedMs) {
      seen.push(progress);
      narrator.bar(progress);
    }
    return remoteCommit === tip;
  });
  narrator.endBar();
  await showPushed(narrator, api, tip);
  narrator.check(
    seen.some(({ phase, objects, totalObjects }) => phase === 'sending' && objects < totalObjects),
    'the status showed the push while it was under way',
    seen,
  );
  const { progress } = await api.status();
  narrator.check(
    progress === null && (await place.remoteTip()) === tip,
    `git finds ${brief(tip)} at the remote, and the status has no progress any more`,
    progress,
  );
  await speedUp();
}

async function shutdownDrains({ narrator, api, place }) {
  narrator.step('SIGTERM with commits pending: they are pushed before the process ends');
  if (place.control) {
    place.control.closeHook();
    await write(narrator, api, 'in-flight', 'In flight at the end');
    await place.control.hookEntered();
    narrator.say('the remote holds that push back, in its hook');
  }
  const { commit } = await write(narrator, api, 'the-last', 'The last one');
  if (place.control) {
    const isPushing = ({ state, pendingCommits }) => state === 'pushing' && pendingCommits === 2;
    await api.statusOnce('a push is in flight with 2 commits pending', isPushing);
    narrator.check(true, 'a push is in flight, and 2 commits are pending');
  }
  const startedAt = performance.now();
  api.terminate();
  narrator.say('SIGTERM');
  narrator.log(await api.logged('closing'), 'signal');
  place.control?.openHook();
  narrator.log(await api.logged('push daemon stopped'), 'pendingCommits');
  await until('the API exits', () => api.hasExited);
  const { code, signal } = await api.exited;
  narrator.check(
    code === 0,
    `it exited with code 0, ${duration(performance.now() - startedAt)} after the signal`,
    { code, signal },
  );
  const tip = await place.localTip();
  narrator.check(
    tip === commit && (await place.remoteTip()) === tip,
    `the remote has the last commit, ${brief(tip)}`,
  );
}

async function lostDataComesBack({ narrator, start, place }) {
  narrator.step('The data directory is lost: the next start brings everything back');
  const tip = await place.remoteTip();
  rmSync(place.data, { recursive: true });
  narrator.say('the data directory is gone');
  const api = await start();
  const restored = api.early('the data was not there');
  demand(restored !== undefined, 'the log says that the data is restored');
  narrator.log(restored, 'commit', 'durationMs');
  narrator.check(
    restored.commit === tip && (await place.localTip()) === tip,
    `git finds ${brief(tip)} in the new data directory`,
  );
  const last = await api.get('/proposals/the-last');
  narrator.check(last.status === 200, 'the API serves what was written last');
  const { commit } = await write(narrator, api, 'after-the-loss', 'Written after the loss');
  await showPushed(narrator, api, commit);
  narrator.check((await place.remoteTip()) === commit, 'writes go on, and are pushed');
  api.terminate();
  await until('the API exits', () => api.hasExited);
}

function talk(title) {
  return { title, speaker: 'A Speaker', abstract: '' };
}

async function write(narrator, api, slug, title) {
  const { status, commit, ms } = await api.put(slug, talk(title));
  narrator.say(`PUT /proposals/${slug}  ${status}  commit ${brief(commit)}  ${duration(ms)}`);
  demand(status === 201, 'the write is answered with 201 and its commit', { status, commit });
  return { commit };
}

async function showPushed(narrator, api, wanted) {
  const pushed = await api.logged('pushed', ({ commit }) => commit === wanted);
  narrator.log(pushed, 'commit', 'durationMs');
  return pushed;
}
