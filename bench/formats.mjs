/**
 * `npm run bench:formats`: a commit that changes one of 10,000 files, pushed by the daemon and by `git push` from and to
 * repositories of each format (SHA-1 and SHA-256, refs in files and in reftables), by path and over ssh with a kept
 * connection. All take turns in one run; a format's figure is its ratio to SHA-1 with files, and to `git push`.
 *
 * The branch is moved in each format by a `git update-ref --stdin` that has prepared its transaction: the clock of the
 * daemon starts when it is told to commit, and stops with the `push` event. That of `git push` is from its spawn to its
 * exit. `-- --rounds 40` takes more.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { makeScope } from '../__test__/support/cleanup.mjs';
import { startPushDaemon, untilState } from '../__test__/support/daemon.mjs';
import { git, gitWith, makeDirectory } from '../__test__/support/git.mjs';
import { startSshd } from '../__test__/support/servers.mjs';
import { FORMATS } from '../scripts/formats.mjs';
import { table } from '../scripts/markdown.mjs';
import { main } from '../scripts/process.mjs';
import { data, fileName, WHO } from './repositories.mjs';
import { median, shuffled } from './statistics.mjs';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '25' } } });
const ROUNDS = Number(values.rounds);
const WARM_UPS = 2;
const FILES = 10_000;
/** The next connection over ssh is ready by then. */
const SETTLE_MS = 400;
const REF = 'refs/heads/main';

/** What `git fast-import` makes: a commit with all files, and one for each push of `count`. */
function stream(count) {
  const who = `committer ${WHO}`;
  const file = (index, revision) =>
    `M 100644 inline ${fileName('sharded', index)}\n${data(`id = ${index}\nrevision = ${revision}\n`)}`;
  const base = Array.from({ length: FILES }, (_, index) => file(index, 0));
  const next = Array.from({ length: count }, (_, index) =>
    [
      `commit refs/heads/next\n${who}\n${data(`change ${index}`)}`,
      file((index * 7919) % FILES, index + 1),
    ].join(''),
  );
  const first = `commit refs/heads/next\n${who}\n${data('base')}${base.join('')}`;
  return `${first}\n${next.join('\n')}\ndone\n`;
}

/** One peer's repository and remote. */
function makePlace(t, { objects, refs }, commits) {
  const directory = makeDirectory(t);
  const [repo, remote] = ['data.git', 'remote.git'].map((name) => path.join(directory, name));
  for (const place of [repo, remote]) {
    git(
      directory,
      'init',
      '-q',
      '--bare',
      '-b',
      'main',
      `--object-format=${objects}`,
      `--ref-format=${refs}`,
      place,
    );
  }
  gitWith(
    { input: stream(commits) },
    repo,
    '-c',
    'fastimport.unpackLimit=1000000',
    'fast-import',
    '--quiet',
    '--done',
  );
  const chain = git(repo, 'rev-list', '--reverse', 'refs/heads/next').split('\n');
  git(repo, 'update-ref', REF, chain[0]);
  git(repo, 'update-ref', '-d', 'refs/heads/next');
  git(repo, 'push', '-q', remote, 'main');
  git(repo, 'remote', 'add', 'origin', remote);
  return { repo, remote, chain: chain.slice(1) };
}

/** Moves the branch at the moment that the caller chooses. */
async function prepareMove(repo, commit) {
  const child = spawn('git', ['update-ref', '--stdin'], {
    cwd: repo,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  child.stdin.write(`start\nupdate ${REF} ${commit}\nprepare\n`);
  let told = '';
  child.stdout.on('data', (text) => {
    told += text;
  });
  while (!told.includes('prepare: ok')) await once(child.stdout, 'data');
  return {
    commit: () => child.stdin.end('commit\n'),
    ended,
  };
}

async function pushByDaemon({ repo, daemon }, commit) {
  const move = await prepareMove(repo, commit);
  const pushed = new Promise((resolve) => {
    daemon.on('push', function listener(event) {
      if (event.commit !== commit) return;
      daemon.off('push', listener);
      resolve(performance.now());
    });
  });
  const movedAt = performance.now();
  move.commit();
  const ms = (await pushed) - movedAt;
  await move.ended;
  return ms;
}

async function pushByGit({ repo }, commit) {
  const move = await prepareMove(repo, commit);
  move.commit();
  await move.ended;
  const startedAt = performance.now();
  execFileSync('git', ['push', '--quiet', 'origin', 'main'], { cwd: repo });
  return performance.now() - startedAt;
}

await main(async () => {
  const t = makeScope();
  try {
    const sshd = await startSshd(t);
    const peers = [];
    for (const transport of ['path', 'ssh']) {
      for (const format of FORMATS) {
        for (const who of ['daemon', 'git push']) {
          const place = makePlace(t, format, ROUNDS + WARM_UPS);
          if (transport === 'ssh') {
            git(place.repo, 'remote', 'set-url', 'origin', sshd.url(place.remote));
            git(place.repo, 'config', 'core.sshCommand', sshd.command);
          }
          const daemon =
            who === 'daemon'
              ? startPushDaemon({ remote: 'origin', repoPath: place.repo })
              : undefined;
          if (daemon) {
            t.after(() => daemon.stop());
            await untilState(daemon, 'in-sync');
          }
          peers.push({ ...place, transport, format, who, daemon, times: [] });
        }
      }
    }
    for (let round = 0; round < ROUNDS + WARM_UPS; round += 1) {
      for (const peer of shuffled(peers)) {
        const push = peer.daemon ? pushByDaemon : pushByGit;
        const ms = await push(peer, peer.chain[round]);
        if (round >= WARM_UPS) peer.times.push(ms);
        await after(SETTLE_MS / 4);
      }
      await after(SETTLE_MS);
    }
    const of = (transport, { objects, refs }, who) =>
      median(
        peers.find(
          (peer) =>
            peer.transport === transport &&
            peer.format.objects === objects &&
            peer.format.refs === refs &&
            peer.who === who,
        ).times,
      );
    const rows = ['path', 'ssh'].flatMap((transport) =>
      FORMATS.map((format) => {
        const [ours, gits] = ['daemon', 'git push'].map((who) => of(transport, format, who));
        const usual = of(transport, FORMATS[0], 'daemon');
        return [
          transport === 'ssh' ? 'ssh kept' : transport,
          `${format.objects}, ${format.refs}`,
          ours.toFixed(1),
          gits.toFixed(1),
          (ours / gits).toFixed(3),
          (ours / usual).toFixed(2),
        ];
      }),
    );
    const head = [
      'transport',
      'format',
      'daemon, ms',
      'git push, ms',
      'daemon / git push',
      'to sha1, files',
    ];
    console.log(`\n${table(head, rows)}\n\nMedians, n = ${ROUNDS}.`);
  } finally {
    await t.end();
  }
});
