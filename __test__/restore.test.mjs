/** `restoreRepository`: what it makes of each remote, what it leaves alone, and what it refuses. */

import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';

import { runScript, startScript } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import { once, start, startInSync, thrownBy, until } from './support/daemon.mjs';
import { makeDisk, NO_MOUNT } from './support/disk.mjs';
import { makeGate, makeScript } from './support/gate.mjs';
import { git, makeDirectory, makePair, makeRemote, Repository } from './support/git.mjs';
import { daemonThreads, processesIn } from './support/proc.mjs';
import { commitByAnother, goAway } from './support/remote.mjs';
import {
  assertRestored,
  gatedSsh,
  makePlace,
  refused,
  restoreRepository,
  setEnvironment,
  snapshot,
} from './support/restore.mjs';
import {
  freePort,
  LOGIN,
  missing,
  startApache,
  startGitDaemon,
  startSshd,
} from './support/servers.mjs';

/** A remote in a directory of its own, as servers want it. */
function makeServed(t) {
  const root = makeDirectory(t);
  const remote = makeRemote(t, { directory: path.join(root, 'data.git') });
  remote.commit();
  remote.commit({ branch: 'other' });
  remote.git('tag', 'v1', 'main');
  return { root, remote };
}

const TRANSPORTS = [
  { name: 'a path', open: async (_t, { remote }) => remote.path },
  { name: 'file://', open: async (_t, { remote }) => `file://${remote.path}` },
  {
    name: 'ssh',
    skip: missing.ssh,
    open: async (t, { remote }) => {
      const server = await startSshd(t);
      setEnvironment(t, { GIT_SSH_COMMAND: server.command, GIT_SSH_VARIANT: 'ssh' });
      return server.url(remote.path);
    },
  },
  {
    name: 'https with a password in the URL',
    skip: missing.https,
    open: async (t, { root, remote }) => {
      const server = await startApache(t, root);
      server.admit(remote.path);
      setEnvironment(t, { GIT_SSL_CAINFO: server.ca });
      const url = server.url('data.git', { place: 'basic' });
      return url.replace('//', `//${LOGIN.user}:${LOGIN.password}@`);
    },
  },
  {
    name: 'https with a credential helper',
    skip: missing.https,
    open: async (t, { root, remote }) => {
      const server = await startApache(t, root);
      server.admit(remote.path);
      const helper = makeScript(
        t,
        `[ "$1" = get ] && echo username=${LOGIN.user} && echo password=${LOGIN.password}`,
        'exit 0',
      );
      setEnvironment(t, {
        GIT_CONFIG_COUNT: '2',
        GIT_CONFIG_KEY_0: 'http.sslCAInfo',
        GIT_CONFIG_VALUE_0: server.ca,
        GIT_CONFIG_KEY_1: 'credential.helper',
        GIT_CONFIG_VALUE_1: helper,
      });
      return server.url('data.git', { place: 'basic' });
    },
  },
  {
    name: 'git://',
    open: async (t, { root }) => (await startGitDaemon(t, root)).url('data.git'),
  },
];

describe('a lost repository is restored, and its daemon pushes, over', () => {
  for (const { name, skip = false, open } of TRANSPORTS) {
    test(name, { skip }, async (t) => {
      const served = makeServed(t);
      const { remote } = served;
      const url = await open(t, served);
      const place = makePlace(t);
      const options = { repoPath: place.repoPath, url, branch: 'main' };
      const { durationMs, ...made } = await restoreRepository(options);
      assert.deepEqual(made, { restored: true, commit: remote.tip() });
      assert.ok(durationMs > 0);
      const repo = assertRestored(place, { tip: remote.tip(), url });
      assert.equal(repo.tip('other'), remote.tip('other'));
      assert.equal(repo.git('rev-parse', 'v1'), remote.git('rev-parse', 'v1'));

      const before = snapshot(place.volume);
      const { restored, commit } = await restoreRepository(options);
      assert.deepEqual([restored, commit], [false, remote.tip()]);
      assert.deepEqual(snapshot(place.volume), before);

      const toPush = { remote: 'origin', branch: 'main', repoPath: place.repoPath };
      const daemon = await startInSync(t, toPush);
      const pushed = once(daemon, 'push');
      const next = repo.commit();
      await pushed;
      assert.equal(remote.tip(), next);
      await daemon.stop();

      // It remembers the remote's tip, also while that cannot be reached.
      goAway(remote);
      const again = start(t, { ...toPush, connectTimeoutMs: 1_000 });
      await once(again, 'error');
      assert.equal(again.status().remoteCommit, next);
    });
  }
});

describe('the place of a restored repository', () => {
  for (const { objects, refs } of [
    { objects: 'sha256', refs: 'files' },
    { objects: 'sha1', refs: 'reftable' },
    { objects: 'sha256', refs: 'reftable' },
  ]) {
    for (const commits of [0, 1]) {
      const what = commits === 0 ? 'an empty remote' : 'a remote';
      test(`${what} with ${objects} in ${refs}`, async (t) => {
        const args = [`--object-format=${objects}`, `--ref-format=${refs}`];
        const remote = makeRemote(t, { arguments: args });
        if (commits > 0) remote.commit();
        setEnvironment(t, { GIT_DEFAULT_REF_FORMAT: refs });
        const place = makePlace(t);
        const options = { repoPath: place.repoPath, url: `file://${remote.path}`, branch: 'main' };
        const { restored, commit } = await restoreRepository(options);
        assert.deepEqual([restored, commit], [true, remote.tip()]);
        const repo = assertRestored(place, { tip: remote.tip(), url: options.url });
        assert.equal(repo.git('rev-parse', '--show-object-format'), objects);
        assert.equal(repo.git('rev-parse', '--show-ref-format'), refs);
        assert.equal((await restoreRepository(options)).restored, false);
        const daemon = start(t, { remote: 'origin', branch: 'main', repoPath: place.repoPath });
        const pushed = once(daemon, 'push');
        const next = repo.commit();
        assert.equal((await pushed).commit, next);
        assert.equal(remote.tip(), next);
      });
    }
  }

  test('an empty remote gives an empty repository on the branch that is asked for', async (t) => {
    const remote = makeRemote(t, { branch: 'trunk' });
    const place = makePlace(t);
    const options = { repoPath: place.repoPath, url: remote.path, branch: 'data' };
    assert.deepEqual(
      { ...(await restoreRepository(options)), durationMs: 0 },
      { restored: true, commit: null, durationMs: 0 },
    );
    assertRestored(place, { tip: null, branch: 'data', url: remote.path });
    assert.equal((await restoreRepository(options)).restored, false);

    // If the remote has data by now, the service must not begin a second history.
    remote.commit();
    const error = await refused(place, options);
    assert.equal(error.code, 'ERR_PUSH_DAEMON_NOT_THE_REPOSITORY');
    assert.match(error.message, /is an empty repository, but the remote .* has data/);
  });

  test('without a branch, the branch of the remote HEAD counts', async (t) => {
    const remote = makeRemote(t, { branch: 'trunk' });
    const tip = remote.commit({ branch: 'trunk' });
    remote.commit({ branch: 'other' });
    const place = makePlace(t);
    const { commit } = await restoreRepository({ repoPath: place.repoPath, url: remote.path });
    assert.equal(commit, tip);
    assertRestored(place, { tip, branch: 'trunk', url: remote.path });
  });

  test('HEAD is on the given branch, whatever the remote has', async (t) => {
    const remote = makeRemote(t);
    remote.commit();
    const tip = remote.commit({ branch: 'data' });
    remote.git('tag', 'data', 'main');
    const place = makePlace(t);
    const options = { repoPath: place.repoPath, url: remote.path, branch: 'refs/heads/data' };
    assert.equal((await restoreRepository(options)).commit, tip);
    const repo = new Repository(place.repoPath);
    assert.equal(repo.git('symbolic-ref', 'HEAD'), 'refs/heads/data');
  });

  test('a remote that borrows objects is copied whole', async (t) => {
    const source = makeRemote(t);
    const tip = source.commit();
    const remote = path.join(makeDirectory(t), 'borrower.git');
    git('/', 'clone', '--quiet', '--bare', '--shared', source.path, remote);
    const place = makePlace(t);
    await restoreRepository({ repoPath: place.repoPath, url: remote });
    rmSync(source.path, { recursive: true });
    assertRestored(place, { tip, url: remote });
  });

  test('missing parents are made, and relative paths are below the current directory', async (t) => {
    const volume = makeDirectory(t);
    const remote = makeRemote(t, { directory: path.join(volume, 'remote.git') });
    const tip = remote.commit();
    const { told, stderr } = await runScript(
      `tell(await restoreRepository({ repoPath: 'a/b/data.git', url: 'remote.git' }));`,
      { cwd: volume },
    );
    assert.equal(told[0]?.restored, true, stderr);
    const parent = path.join(volume, 'a/b');
    const place = { volume: parent, repoPath: path.join(parent, 'data.git') };
    assertRestored(place, { tip, url: remote.path });
  });

  test('the path is that of CFP_DATA_REPO_PATH unless one is given', async (t) => {
    const remote = makeRemote(t);
    const tip = remote.commit();
    const place = makePlace(t);
    setEnvironment(t, { CFP_DATA_REPO_PATH: place.repoPath });
    await restoreRepository({ url: remote.path });
    assertRestored(place, { tip, url: remote.path });
  });

  test('an empty directory is filled, with lost+found beside', async (t) => {
    const remote = makeRemote(t);
    const tip = remote.commit();
    const { volume } = makePlace(t);
    mkdirSync(path.join(volume, 'lost+found'));
    assert.equal((await restoreRepository({ repoPath: volume, url: remote.path })).restored, true);
    assertRestored({ volume, repoPath: volume }, { tip, url: remote.path });
    assert.ok(existsSync(path.join(volume, 'lost+found')));
    assert.equal((await restoreRepository({ repoPath: volume, url: remote.path })).restored, false);
  });

  test('a mounted volume is filled', { skip: NO_MOUNT }, async (t) => {
    const remote = makeRemote(t);
    const tip = remote.commit();
    const disk = makeDisk(t);
    assert.equal(
      (await restoreRepository({ repoPath: disk.path, url: remote.path })).restored,
      true,
    );
    assertRestored({ volume: disk.path, repoPath: disk.path }, { tip, url: remote.path });
  });

  test('insteadOf leads to the remote, and the clone has the URL as it was given', async (t) => {
    const remote = makeRemote(t);
    const tip = remote.commit();
    setEnvironment(t, {
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: `url.file://${remote.path}.insteadOf`,
      GIT_CONFIG_VALUE_0: 'https://me:hunter2@git.example.com/data',
    });
    const place = makePlace(t);
    const options = { repoPath: place.repoPath, url: 'https://me:hunter2@git.example.com/data' };
    await restoreRepository(options);
    assertRestored(place, { tip, url: options.url });
    assert.equal((await restoreRepository(options)).restored, false);
  });
});

describe('a repository that is there is left alone', () => {
  const states = {
    'in sync': () => {},
    ahead: ({ repo }) => repo.commit(),
    behind: ({ remote }) => commitByAnother(remote),
    diverged: ({ repo, remote }) => {
      repo.commit();
      commitByAnother(remote);
    },
    'ahead of a remote that cannot be reached': ({ repo, remote }) => {
      repo.commit();
      goAway(remote);
    },
  };
  for (const [state, make] of Object.entries(states)) {
    for (const bare of [true, false]) {
      test(`${state}, ${bare ? 'bare' : 'with a working tree'}`, async (t) => {
        const pair = makePair(t, { bare });
        make(pair);
        const { repo, remote } = pair;
        const refs = repo.git('for-each-ref');
        const before = snapshot(repo.path);
        const options = { repoPath: repo.path, url: remote.path, branch: 'main' };
        const { restored, commit } = await restoreRepository(options);
        assert.deepEqual([restored, commit], [false, repo.tip()]);
        assert.deepEqual(snapshot(repo.path), before);
        assert.equal(repo.git('for-each-ref'), refs);
      });
    }
  }

  test('also with the other spellings of its URL', async (t) => {
    const { repo } = makePair(t);
    repo.git('remote', 'set-url', 'origin', 'https://old:token@git.example.com/team/data.git');
    for (const url of [
      'https://git.example.com/team/data',
      'https://new:token@GIT.example.com:443/team/data.git/',
    ]) {
      const { restored } = await restoreRepository({ repoPath: repo.path, url });
      assert.equal(restored, false, url);
    }
  });
});

describe('nothing is changed, and the error says why, if there is', () => {
  const NOT_IT = 'ERR_PUSH_DAEMON_NOT_THE_REPOSITORY';
  const FAILED = 'ERR_PUSH_DAEMON_RESTORE_FAILED';
  const local = [
    {
      what: 'a file in its place',
      make: ({ repoPath }) => writeFileSync(repoPath, 'mine'),
      code: NOT_IT,
      message: /is a file/,
    },
    {
      what: 'something else in the directory',
      make: ({ repoPath }) => {
        mkdirSync(repoPath);
        writeFileSync(path.join(repoPath, 'notes.txt'), 'mine');
      },
      code: NOT_IT,
      message: /is not empty.*notes\.txt/,
    },
    {
      what: 'a part of a repository',
      make: ({ repoPath }, remote) => {
        cpSync(remote.path, repoPath, { recursive: true });
        rmSync(path.join(repoPath, 'HEAD'));
      },
      code: NOT_IT,
      message: /parts of a git repository/,
    },
    {
      what: 'a repository whose commits are lost',
      make: ({ repoPath }, remote) => {
        git('/', 'clone', '--quiet', '--bare', remote.path, repoPath);
        rmSync(path.join(repoPath, 'objects'), { recursive: true });
        mkdirSync(path.join(repoPath, 'objects'));
      },
      code: NOT_IT,
      message: /is not whole/,
    },
    {
      what: 'a repository of another remote',
      make: ({ repoPath }) => {
        git('/', 'init', '--quiet', '--bare', repoPath);
        git(repoPath, 'remote', 'add', 'origin', 'https://me:hunter2@git.example.com/other');
      },
      code: NOT_IT,
      message: /does not belong to .*but origin, which is https:\/\/git\.example\.com\/other/,
    },
    {
      what: 'a repository without a remote',
      make: ({ repoPath }) => git('/', 'init', '--quiet', '--bare', repoPath),
      code: NOT_IT,
      message: /it has no such remote$/,
    },
    {
      what: 'a repository without the branch',
      make: ({ repoPath }, remote) => {
        git('/', 'clone', '--quiet', '--bare', remote.path, repoPath);
        git(repoPath, 'update-ref', 'refs/heads/other', 'main');
        git(repoPath, 'update-ref', '-d', 'refs/heads/main');
      },
      code: NOT_IT,
      message: /has no branch main;.*it has other/,
    },
    {
      what: 'a link to nowhere',
      make: ({ repoPath }) => symlinkSync('/nowhere/at-all', repoPath),
      code: NOT_IT,
      message: /symbolic link/,
    },
    {
      what: 'a place that cannot be read',
      make: ({ repoPath }) => symlinkSync(repoPath, repoPath),
      code: FAILED,
      message: /cannot be read/,
    },
    {
      what: 'a configuration that cannot be read',
      make: ({ repoPath }, remote) => {
        git('/', 'clone', '--quiet', '--bare', remote.path, repoPath);
        writeFileSync(path.join(repoPath, 'config'), '[core\n');
      },
      code: FAILED,
      message: /config/,
    },
  ];
  for (const { what, make, code, message } of local) {
    test(what, async (t) => {
      const remote = makeRemote(t);
      remote.commit();
      const place = makePlace(t);
      make(place, remote);
      const options = { repoPath: place.repoPath, url: remote.path, branch: 'main' };
      const error = await refused(place, options);
      assert.deepEqual([error.code, error.kind], [code, 'local'], error.message);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hunter2/);
    });
  }

  test('no remote repository', async (t) => {
    const place = makePlace(t);
    for (const url of ['/nowhere/data.git', 'file:///nowhere/data.git']) {
      const error = await refused(place, { repoPath: place.repoPath, url });
      assert.deepEqual([error.code, error.kind], [FAILED, 'remote-error'], error.message);
    }
  });

  test('no such branch on the remote', async (t) => {
    const remote = makeRemote(t);
    remote.commit();
    remote.git('tag', 'data', 'main');
    const place = makePlace(t);
    const options = { repoPath: place.repoPath, url: remote.path, branch: 'data' };
    const error = await refused(place, options);
    assert.deepEqual([error.code, error.kind], [FAILED, 'remote-error']);
    assert.match(error.message, /has no branch data;.*it has main/);
    assert.match(error.hint, /branch and url/);
  });

  test('no branch at HEAD of the remote', async (t) => {
    const remote = makeRemote(t);
    remote.commit({ branch: 'data' });
    const place = makePlace(t);
    const error = await refused(place, { repoPath: place.repoPath, url: remote.path });
    assert.equal(error.kind, 'remote-error');
    assert.match(
      error.message,
      /has no branch main; name another with the option 'branch'; it has data/,
    );
  });

  test('no server', async (t) => {
    const place = makePlace(t);
    const url = `git://127.0.0.1:${await freePort()}/data.git`;
    const error = await refused(place, { repoPath: place.repoPath, url });
    assert.deepEqual([error.code, error.kind, error.retryable], [FAILED, 'network', true]);
  });

  test('no answer', async (t) => {
    const sockets = new Set();
    const server = net.createServer((socket) => sockets.add(socket.on('error', () => {})));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    atEnd(t, () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const place = makePlace(t);
    const url = `git://127.0.0.1:${server.address().port}/data.git`;
    for (const [limit, message] of [
      ['connectTimeoutMs', /did not answer within 0\.2 s/],
      ['idleTimeoutMs', /idle for 0\.2 s/],
    ]) {
      const error = await refused(place, { repoPath: place.repoPath, url, [limit]: 200 });
      assert.deepEqual([error.code, error.kind], [FAILED, 'timeout']);
      assert.match(error.message, message);
      assert.match(error.hint, /connectTimeoutMs/);
    }
  });

  test('a wrong password', { skip: missing.https }, async (t) => {
    const { root, remote } = makeServed(t);
    const server = await startApache(t, root);
    server.admit(remote.path);
    setEnvironment(t, { GIT_SSL_CAINFO: server.ca });
    const url = server.url('data.git', { place: 'basic' }).replace('//', '//me:hunter2@');
    const place = makePlace(t);
    const error = await refused(place, { repoPath: place.repoPath, url });
    assert.deepEqual([error.code, error.kind], [FAILED, 'auth'], error.message);
    assert.doesNotMatch(JSON.stringify([error.message, error.hint, error.stack]), /hunter2/);
  });

  test('an unknown certificate', { skip: missing.https }, async (t) => {
    const { root, remote } = makeServed(t);
    const server = await startApache(t, root);
    server.admit(remote.path);
    const place = makePlace(t);
    const error = await refused(place, { repoPath: place.repoPath, url: server.url('data.git') });
    assert.deepEqual([error.code, error.kind], [FAILED, 'network'], error.message);
    assert.match(error.hint, /certificate/);
  });

  test('an unknown host key, or a key that is not known', { skip: missing.ssh }, async (t) => {
    const { remote } = makeServed(t);
    const server = await startSshd(t);
    const place = makePlace(t);
    const options = { repoPath: place.repoPath, url: server.url(remote.path) };
    const commands = [
      server.command.replace(/-o UserKnownHostsFile=\S+/, '-o UserKnownHostsFile=/dev/null'),
      server.command.replace(/-i \S+/, '-i /dev/null'),
    ];
    const kinds = [];
    for (const command of commands) {
      setEnvironment(t, { GIT_SSH_COMMAND: command, GIT_SSH_VARIANT: 'ssh' });
      const error = await refused(place, options);
      assert.equal(error.code, FAILED);
      kinds.push(error.kind);
    }
    assert.deepEqual(kinds, ['host-key', 'auth']);
  });

  test('no room', { skip: NO_MOUNT }, async (t) => {
    const remote = makeRemote(t);
    remote.commit({ files: { large: Buffer.alloc(4 << 20, 'x').toString('latin1') } });
    remote.git('config', 'core.compression', '0');
    remote.git('config', 'pack.compression', '0');
    const disk = makeDisk(t, 2);
    const place = { volume: disk.path, repoPath: path.join(disk.path, 'data.git') };
    const error = await refused(place, { repoPath: place.repoPath, url: `file://${remote.path}` });
    assert.deepEqual([error.code, error.kind], [FAILED, 'local'], error.message);
    assert.match(error.message, /No space left/);
  });

  test('no git', async (t) => {
    const place = makePlace(t);
    const { told } = await runScript(
      `await restoreRepository({ repoPath: input, url: '/nowhere' }).catch(({ kind, message }) => tell({ kind, message }));`,
      { input: place.repoPath, env: { PATH: '/nowhere' } },
    );
    assert.equal(told[0].kind, 'local');
    assert.match(told[0].message, /git is required/);
  });
});

test('misuse throws synchronously, with its code', () => {
  const url = '/nowhere';
  for (const [options, message] of [
    [undefined, /was given undefined/],
    ['data.git', /was given 'data\.git'/],
    [{ url }, /'repoPath' is undefined/],
    [{ repoPath: 'x' }, /'url' is undefined/],
    [{ repoPath: 'x', url: '' }, /'url' is ''/],
    [{ repoPath: 'x', url: 'https://' }, /'url'/],
    [{ repoPath: 'x', url, branch: '+main' }, /'branch' is '\+main'/],
    [{ repoPath: 'x', url, connectTimeoutMs: -1 }, /'connectTimeoutMs' is -1/],
    [{ repoPath: 'x', url, remote: 'origin' }, /unknown option 'remote'; the options are repoPath/],
    [{ repoPath: 'x', url, signal: 1 }, /'signal'/],
    [{ repoPath: 'x', url, onProgress: 1 }, /'onProgress' is 1; expected a function/],
  ]) {
    const error = thrownBy(() => restoreRepository(options));
    assert.equal(error.code, 'ERR_PUSH_DAEMON_INVALID_OPTION', `${error.stack}`);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /hunter2/);
  }
});

test('a URL with a password is on no command line', async (t) => {
  const { repoPath } = makePlace(t);
  const log = path.join(makeDirectory(t), 'log');
  const wrapper = makeScript(
    t,
    `echo "$*" >>'${log}'`,
    `exec '${git('/', '--exec-path')}/git' "$@"`,
  );
  const programs = makeDirectory(t);
  symlinkSync(wrapper, path.join(programs, 'git'));
  const url = `https://me:hunter2@127.0.0.1:${await freePort()}/data.git`;
  const { told } = await runScript(
    'await restoreRepository(input).catch(({ kind }) => tell(kind));',
    { input: { repoPath, url }, env: { PATH: `${programs}:${process.env.PATH}` } },
  );
  assert.deepEqual(told, ['network']);
  const commands = readFileSync(log, 'utf8');
  assert.match(commands, /^clone --bare /m);
  assert.doesNotMatch(commands, /hunter2/);
});

describe('a restore tells its progress', () => {
  test('by its phases', async (t) => {
    const remote = makeRemote(t);
    for (let made = 0; made < 3; made += 1) remote.commit();
    const place = makePlace(t);
    const seen = [];
    const onProgress = (progress) => seen.push(progress);
    const options = { repoPath: place.repoPath, url: `file://${remote.path}`, onProgress };
    await restoreRepository(options);
    assert.equal(seen[0].phase, 'connecting');
    assert.equal(seen.at(-1).phase, 'storing');
    for (const progress of seen) {
      assert.deepEqual(Object.keys(progress), [
        ...['phase', 'objects', 'totalObjects', 'bytes', 'bytesPerSecond', 'serverMessage'],
        ...['elapsedMs', 'remainingMs'],
      ]);
    }
    const times = seen.map(({ elapsedMs }) => elapsedMs);
    assert.deepEqual(
      times,
      [...times].sort((one, other) => one - other),
    );
    seen.length = 0;
    await restoreRepository(options);
    assert.deepEqual(seen, []);
  });

  test('and goes on where a listener throws', async (t) => {
    const remote = makeRemote(t);
    const tip = remote.commit();
    const place = makePlace(t);
    const { told } = await runScript(
      `process.on('uncaughtException', ({ message }) => tell(message));
       const onProgress = () => { throw new Error('mine'); };
       tell((await restoreRepository({ ...input, onProgress })).restored);`,
      { input: { repoPath: place.repoPath, url: remote.path } },
    );
    assert.equal(told[0], 'mine');
    assert.ok(told.includes(true));
    assertRestored(place, { tip, url: remote.path });
  });
});

describe('an aborted restore', () => {
  for (const where of ['beside', 'within']) {
    test(`ends git and leaves nothing, ${where} the place`, async (t) => {
      const remote = makeRemote(t);
      remote.commit();
      const { volume, repoPath } = makePlace(t);
      if (where === 'within') mkdirSync(repoPath);
      const gate = makeGate(t);
      setEnvironment(t, gatedSsh(t, gate, 10));
      const controller = new AbortController();
      const restoring = restoreRepository({
        repoPath,
        url: `ssh://host.example${remote.path}`,
        signal: controller.signal,
      });
      await gate.entered();
      controller.abort('enough');
      await assert.rejects(restoring, {
        name: 'AbortError',
        code: 'ABORT_ERR',
        cause: 'enough',
      });
      assert.deepEqual(processesIn(volume), []);
      const left = snapshot(volume).map(([name]) => name);
      assert.deepEqual(left, where === 'within' ? ['data.git'] : []);
      await until('the thread has ended', () => daemonThreads().length === 0);
    });
  }

  test('has not begun if the signal was aborted before', async (t) => {
    const { volume, repoPath } = makePlace(t);
    const signal = AbortSignal.abort();
    await assert.rejects(restoreRepository({ repoPath, url: '/nowhere', signal }), {
      name: 'AbortError',
    });
    assert.deepEqual(snapshot(volume), []);
  });

  test('is that of a worker which is terminated', async (t) => {
    const remote = makeRemote(t);
    remote.commit();
    const { volume, repoPath } = makePlace(t);
    const gate = makeGate(t);
    const script = startScript(
      `const { Worker } = await import('node:worker_threads');
       const worker = new Worker(
         "require('./index.js').restoreRepository(require('node:worker_threads').workerData);",
         { eval: true, workerData: input },
       );
       process.once('SIGTERM', async () => { await worker.terminate(); tell('terminated'); });
       setInterval(() => {}, 60_000);`,
      {
        input: { repoPath, url: `ssh://host.example${remote.path}` },
        env: gatedSsh(t, gate, 10),
      },
    );
    atEnd(t, () => script.kill());
    await gate.entered();
    script.kill('SIGTERM');
    await script.untilTold((value) => value === 'terminated');
    await until('nothing is left', () => readdirSync(volume).length === 0);
  });
});

describe('two restores of the same place', () => {
  for (const where of ['beside', 'within']) {
    test(`make one clone, ${where} it`, async (t) => {
      const remote = makeRemote(t);
      const tip = remote.commit();
      const { volume, repoPath } = makePlace(t);
      if (where === 'within') mkdirSync(repoPath);
      const gate = makeGate(t);
      const url = `ssh://host.example${remote.path}`;
      const program = `
        const onProgress = ({ phase }) => tell({ phase });
        tell(await restoreRepository({ ...input, onProgress }));`;
      const options = { input: { repoPath, url }, env: gatedSsh(t, gate, 10) };
      const first = startScript(program, options);
      await gate.entered();
      const second = startScript(program, options);
      await second.untilTold(({ phase }) => phase === 'waiting');
      gate.open();
      const ends = await Promise.all([first.ended, second.ended]);
      const results = ends.map(({ told }) => told.at(-1));
      assert.deepEqual(
        results.map(({ restored, commit }) => [restored, commit]),
        [
          [true, tip],
          [false, tip],
        ],
      );
      assertRestored({ volume, repoPath }, { tip, url });
    });
  }

  test('in one process share it too', async (t) => {
    const remote = makeRemote(t);
    const tip = remote.commit();
    const place = makePlace(t);
    const options = { repoPath: place.repoPath, url: remote.path };
    const results = await Promise.all([1, 2, 3].map(() => restoreRepository(options)));
    assert.deepEqual(results.map(({ restored }) => restored).sort(), [false, false, true]);
    assertRestored(place, { tip, url: remote.path });
  });
});

test('a daemon goes on while a repository is restored beside it', async (t) => {
  const { repo, options } = makePair(t);
  const daemon = await startInSync(t, options);
  const remote = makeRemote(t);
  const tip = remote.commit();
  const place = makePlace(t);
  await restoreRepository({ repoPath: place.repoPath, url: remote.path });
  assertRestored(place, { tip, url: remote.path });
  const pushed = once(daemon, 'push');
  const commit = repo.commit();
  assert.equal((await pushed).commit, commit);
});
