/** The options of `startPushDaemon` and its errors, each an `Error` with a code and a remedy. */

import assert from 'node:assert/strict';
import { once as onceEmitted } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ROOT, runScript } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import { members, union } from './support/contract.mjs';
import { once, start, startPushDaemon, thrownBy, untilState, within } from './support/daemon.mjs';
import { gateHook } from './support/gate.mjs';
import { git, makeDirectory, makePair, makeRemote, makeRepo, Repository } from './support/git.mjs';

const CODES = union('PushDaemonMisuseCode');

/** Asserts that starting throws an error with this code and all of these fragments in its message. */
function assertMisuse(options, code, ...fragments) {
  const error = thrownBy(() => startPushDaemon(options));
  assert.ok(error instanceof Error, `${error} is an Error`);
  assert.equal(error.code, `ERR_PUSH_DAEMON_${code}`, error.message);
  for (const fragment of fragments) {
    const isIn =
      fragment instanceof RegExp ? fragment.test(error.message) : error.message.includes(fragment);
    assert.ok(isIn, `'${error.message}' says ${fragment}`);
  }
  return error;
}

/** Sets environment variables of this process until the test ends. */
function setEnvironment(t, variables) {
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name];
    atEnd(t, () => {
      if (before === undefined) delete process.env[name];
      else process.env[name] = before;
    });
    process.env[name] = value;
  }
}

function changeDirectory(t, directory) {
  const before = process.cwd();
  atEnd(t, () => process.chdir(before));
  process.chdir(directory);
}

describe('a wrong option', () => {
  const MILLISECONDS = /expected a number of milliseconds, 0 or more/;
  const WRONG_MILLISECONDS = ['100', -1, Number.NaN, Infinity, 4e11, null, true, {}, [], 10n];
  const WRONG_STRINGS = ['', 'nul\0', 1, 0, true, false, null, {}, [], () => {}, Symbol('s'), 1n];
  const WRONG_BRANCHES = [
    '+main main:main :main a..b a~1 a^ a? a* a[ a\\b /a a/ a//b a.lock .a a/.b a. @{u} a@{b -a HEAD',
    'refs/tags/a refs/heads/ refs/heads/+main +refs/heads/main refs/remotes/origin/main',
  ].flatMap((names) => names.split(' '));
  const TIMES = members('PushDaemonOptions').filter((name) => name.endsWith('Ms'));
  const cases = {
    remote: { expected: /expected .*remote/, values: [...WRONG_STRINGS, undefined] },
    branch: {
      expected: /expected .*branch/,
      values: [...WRONG_STRINGS, ...WRONG_BRANCHES, 'a b', 'a\nb'],
    },
    repoPath: { expected: /expected .*repository/, values: WRONG_STRINGS },
    backoff: { expected: /'exponential'/, values: ['linear', '', 0, null, true, [], () => {}] },
    maxRetries: {
      expected: /whole number/,
      values: ['3', -1, 1.5, Number.NaN, -Infinity, null, true, {}, 3n],
    },
    ...Object.fromEntries(
      TIMES.map((name) => [name, { expected: MILLISECONDS, values: WRONG_MILLISECONDS }]),
    ),
    maxPackBytes: {
      expected: /whole number of bytes, 1 or more, or Infinity/,
      values: ['1', 0, -1, 1.5, 2 ** 53, Number.NaN, -Infinity, null, true, {}, [], 1n],
    },
    onDivergence: {
      expected: /'report' or 'preserve'/,
      values: ['force', '', 0, null, true, {}, []],
    },
    watch: { expected: /true or false/, values: ['true', 0, 1, null, {}, []] },
    transport: {
      expected: /'auto' or 'native' or 'git-cli'/,
      values: ['ssh', '', 0, null, false, {}],
    },
    logger: {
      expected: /debug, info, warn and error/,
      values: [null, 1, true, 'pino', {}, [], () => {}, { ...console, error: 1 }],
    },
  };
  for (const [name, { expected, values }] of Object.entries(cases)) {
    test(`${name}: the error names each wrong value and the expected one`, (t) => {
      const { options } = makePair(t);
      for (const value of values) {
        const error = assertMisuse(
          { ...options, [name]: value },
          'INVALID_OPTION',
          `'${name}'`,
          expected,
        );
        if (typeof value === 'number' || typeof value === 'boolean' || value === null) {
          assert.ok(error.message.includes(String(value)), `'${error.message}' says ${value}`);
        } else if (typeof value === 'string') {
          assert.ok(error.message.includes(`'${value}'`), `'${error.message}' quotes ${value}`);
        }
      }
    });
  }

  test('the parts of backoff are checked one by one', (t) => {
    const { options } = makePair(t);
    const good = { base: 10, multiplier: 2, cap: 100, jitter: 0.5 };
    const wrong = [
      ['base', [undefined, -1, '1', Number.NaN, Infinity, null]],
      ['multiplier', [undefined, 0.5, 0, '2', Infinity, Number.NaN, null]],
      ['cap', [undefined, 9, -1, '1', Infinity, null]],
      ['jitter', [-0.1, 1.1, '0', Number.NaN, null]],
    ];
    for (const [part, values] of wrong) {
      for (const value of values) {
        const backoff = { ...good, [part]: value };
        assertMisuse({ ...options, backoff }, 'INVALID_OPTION', `backoff.${part}`, 'expected');
      }
    }
    assertMisuse(
      { ...options, backoff: { ...good, retries: 1 } },
      'INVALID_OPTION',
      'backoff.retries',
    );
  });

  test('an unknown option is an error that lists the options', (t) => {
    const { options } = makePair(t);
    assertMisuse(
      { ...options, debounce: 10 },
      'INVALID_OPTION',
      "unknown option 'debounce'",
      'debounceMs',
    );
    assertMisuse({ ...options, refspec: '+main' }, 'INVALID_OPTION', "unknown option 'refspec'");
  });

  test('options that are not an object are an error', () => {
    for (const options of [undefined, null, 'origin', 1, true, [], () => {}, Symbol('s'), 1n]) {
      assertMisuse(options, 'INVALID_OPTION', 'expected an object of options', "remote: 'origin'");
    }
  });

  test('undefined counts as left out, except for remote', async (t) => {
    const { options } = makePair(t);
    const names = Object.keys(cases).filter((name) => !(name in options));
    const daemon = start(t, {
      ...options,
      ...Object.fromEntries(names.map((name) => [name, undefined])),
    });
    await untilState(daemon, 'in-sync');
  });

  test("the limits of each option's range are accepted", async (t) => {
    const { options } = makePair(t);
    const accepted = [
      { maxRetries: 0 },
      { maxRetries: Infinity },
      { debounceMs: 0.5, connectTimeoutMs: 0, idleTimeoutMs: 0 },
      { reportTimeoutMs: 0, attemptTimeoutMs: 0 },
      { keepConnectionMs: 0, divergedProbeMs: 0, verifyMs: 0 },
      { verifyMs: 0.5, onRegression: 'report' },
      { maxPackBytes: 1 },
      { maxPackBytes: Number.MAX_SAFE_INTEGER },
      { maxPackBytes: Infinity },
      { backoff: { base: 0, multiplier: 1, cap: 0 } },
      { backoff: { base: 1, multiplier: 1.5, cap: 315_576_000_000, jitter: 1 } },
      { branch: 'refs/heads/main' },
      Object.assign(Object.create({ inherited: 'is nobody’s option' }), {}),
      { [Symbol('a symbol')]: 'is nobody’s option' },
    ];
    for (const some of accepted) {
      const daemon = startPushDaemon({ ...options, ...some });
      assert.equal(daemon.status().branch, 'main');
      await within(daemon.stop({ timeoutMs: 0 }), 'stop');
    }
  });

  test('a refused start leaves nothing behind: the same target can start at once', async (t) => {
    const { options } = makePair(t);
    assertMisuse({ ...options, watch: 1 }, 'INVALID_OPTION');
    assertMisuse({ ...options, remote: 'nowhere' }, 'REMOTE_NOT_FOUND');
    await untilState(start(t, options), 'in-sync');
  });
});

describe('a repository', () => {
  const NOT_FOUND = 'REPOSITORY_NOT_FOUND';

  test('that does not exist or is no repository is not found', (t) => {
    const directory = makeDirectory(t);
    const file = path.join(directory, 'file');
    writeFileSync(file, '');
    mkdirSync(path.join(directory, 'empty'));
    for (const place of ['missing', 'empty', 'file', 'file/below']) {
      const repoPath = path.join(directory, place);
      assertMisuse(
        { remote: 'origin', repoPath },
        NOT_FOUND,
        repoPath,
        'expected a bare repository',
        'check',
      );
    }
  });

  test('with an unreadable configuration is an error that names the file', (t) => {
    const repo = makeRepo(t);
    writeFileSync(path.join(repo.path, 'config'), '[core\n');
    assertMisuse({ remote: 'origin', repoPath: repo.path }, 'SYSTEM', repo.path, 'config', 'check');
  });

  test('is not searched upwards from repoPath', (t) => {
    const { repo } = makePair(t, { bare: false });
    const repoPath = path.join(repo.path, 'inside');
    mkdirSync(repoPath);
    assertMisuse({ remote: 'origin', repoPath }, NOT_FOUND, repoPath);
  });

  test('with a detached HEAD needs a branch', async (t) => {
    const { repo, options } = makePair(t, { bare: false });
    repo.git('checkout', '--quiet', '--force', '--detach', 'main');
    const { branch: _, ...rest } = options;
    assertMisuse(rest, 'NO_BRANCH', 'HEAD', "the option 'branch'");
    await untilState(start(t, options), 'in-sync');
  });

  test('with an unborn HEAD needs a branch, and then waits for the first commit', async (t) => {
    const { repo, remote, options } = makePair(t, { commits: 0 });
    const { branch: _, ...rest } = options;
    assertMisuse(rest, 'NO_BRANCH', "'main'", 'no commit', "the option 'branch'");
    const daemon = start(t, options);
    await untilState(daemon, 'in-sync');
    const pushed = once(daemon, 'push');
    const commit = repo.commit();
    assert.equal((await pushed).commit, commit);
    assert.equal(remote.tip(), commit);
  });

  test('without branch is pushed from the branch of HEAD', async (t) => {
    const { repo, options } = makePair(t);
    repo.git('symbolic-ref', 'HEAD', 'refs/heads/feature/nested');
    repo.commit({ branch: 'feature/nested' });
    const { branch: _, ...rest } = options;
    const daemon = start(t, rest);
    assert.equal(daemon.status().branch, 'feature/nested');
    await once(daemon, 'push');
  });

  test('of a format that git does not know is not supported, and the message says which it is', (t) => {
    for (const bare of [true, false]) {
      const repo = makeRepo(t, { bare });
      repo.git('remote', 'add', 'origin', '/nowhere');
      repo.git('config', 'core.repositoryFormatVersion', '2');
      const options = { remote: 'origin', branch: 'main', repoPath: repo.path };
      assertMisuse(options, 'UNSUPPORTED_REPOSITORY', repo.path, 'format version 2', /git accepts/);
    }
  });

  const IS_ROOT = process.getuid?.() === 0;
  const needsRoot = { skip: IS_ROOT ? false : 'only root can give a repository to somebody else' };

  function giveAway(directory) {
    chownSync(directory, 65534, 65534);
    for (const entry of readdirSync(directory, { recursive: true })) {
      chownSync(path.join(directory, entry), 65534, 65534);
    }
  }

  test('of another user is refused, with the command that trusts it', needsRoot, (t) => {
    for (const bare of [true, false]) {
      const { repo, options } = makePair(t, { bare });
      giveAway(repo.path);
      assertMisuse(
        options,
        'REPOSITORY_NOT_OWNED',
        repo.path,
        'another user',
        'git config --global --add safe.directory',
      );
    }
  });

  test(
    "of another user is accepted if the user's settings or the environment list it as safe",
    needsRoot,
    async (t) => {
      const { repo, options } = makePair(t);
      giveAway(repo.path);
      const home = makeDirectory(t);
      const file = path.join(home, '.gitconfig');
      git(home, 'config', '--file', file, 'safe.directory', repo.path);
      const places = [
        { GIT_CONFIG_GLOBAL: undefined, HOME: home },
        { GIT_CONFIG_GLOBAL: file },
        {
          GIT_CONFIG_COUNT: '1',
          GIT_CONFIG_KEY_0: 'safe.directory',
          GIT_CONFIG_VALUE_0: '*',
        },
      ];
      for (const env of places) {
        const { told } = await runScript(
          `try { const daemon = startPushDaemon(input); tell('started'); await daemon.stop(); }
         catch (error) { tell({ code: error.code, message: error.message }); }`,
          { input: options, env },
        );
        assert.deepEqual(told, ['started'], JSON.stringify(env));
      }
    },
  );

  test('is found by CFP_DATA_REPO_PATH, and repoPath takes precedence', async (t) => {
    const inEnvironment = makePair(t);
    const given = makePair(t);
    setEnvironment(t, { CFP_DATA_REPO_PATH: inEnvironment.repo.path, GIT_DIR: '/nowhere' });
    const first = start(t, { remote: 'origin', branch: 'main' });
    await untilState(first, 'in-sync');
    assert.equal(first.status().localCommit, inEnvironment.repo.tip());
    const second = start(t, given.options);
    assert.equal(second.status().url, given.remote.path);
  });

  test('that CFP_DATA_REPO_PATH names wrongly is not searched for elsewhere', (t) => {
    setEnvironment(t, { CFP_DATA_REPO_PATH: '/nowhere/data.git' });
    changeDirectory(t, makePair(t).repo.path);
    assertMisuse({ remote: 'origin' }, NOT_FOUND, '/nowhere/data.git');
  });

  test('is found by GIT_DIR without repoPath', async (t) => {
    const { repo, options } = makePair(t);
    const { repoPath, ...rest } = options;
    setEnvironment(t, { GIT_DIR: repoPath });
    changeDirectory(t, makeDirectory(t));
    const daemon = start(t, rest);
    await untilState(daemon, 'in-sync');
    const pushed = once(daemon, 'push');
    const commit = new Repository(repo.path).git('rev-parse', 'main');
    assert.equal(daemon.status().localCommit, commit);
    assert.ok(repo.commit());
    await pushed;
  });

  test('that GIT_DIR names wrongly is not found, and the message names the place', (t) => {
    setEnvironment(t, { GIT_DIR: '/nowhere/else.git' });
    changeDirectory(t, makePair(t).repo.path);
    assertMisuse({ remote: 'origin' }, NOT_FOUND, 'GIT_DIR', '/nowhere/else.git');
  });

  test('is found upwards from the current directory without repoPath', async (t) => {
    const { repo, remote } = makePair(t, { bare: false });
    const below = path.join(repo.path, 'deep', 'below');
    mkdirSync(below, { recursive: true });
    changeDirectory(t, below);
    const daemon = start(t, { remote: 'origin' });
    await untilState(daemon, 'in-sync');
    assert.equal(daemon.status().url, remote.path);
  });

  test('is not found from a folder outside of one, and the message names the folder', (t) => {
    const directory = makeDirectory(t);
    changeDirectory(t, directory);
    assertMisuse({ remote: 'origin' }, NOT_FOUND, directory, 'GIT_DIR');
  });

  test('with a relative path is still pushed after chdir', async (t) => {
    const { repo, remote, options } = makePair(t);
    repo.git('remote', 'set-url', 'origin', path.relative(repo.path, remote.path));
    changeDirectory(t, path.dirname(repo.path));
    const daemon = start(t, { ...options, repoPath: path.basename(repo.path) });
    process.chdir('/');
    await untilState(daemon, 'in-sync');
    const pushed = once(daemon, 'push');
    const commit = repo.commit();
    assert.equal((await pushed).commit, commit);
    assert.equal(remote.tip(), commit);
  });

  test('may be a bare one, a working tree, its .git, a linked worktree, or a symbolic link to one', async (t) => {
    const { repo, remote, options } = makePair(t, { bare: false });
    const linked = path.join(makeDirectory(t), 'linked');
    repo.git('worktree', 'add', '--quiet', '--detach', linked, 'main');
    const link = path.join(makeDirectory(t), 'link');
    symlinkSync(repo.path, link);
    for (const repoPath of [
      repo.path,
      path.join(repo.path, '.git'),
      linked,
      link,
      `${repo.path}/`,
    ]) {
      const daemon = startPushDaemon({ ...options, repoPath });
      const commit = repo.commit();
      await once(daemon, 'push', (event) => event.commit === commit);
      await within(daemon.stop(), 'stop');
      assert.equal(remote.tip(), commit, repoPath);
    }
  });
});

describe('a remote', () => {
  test('that is not configured is not found, and the message lists the configured ones', (t) => {
    const { options } = makePair(t);
    assertMisuse({ ...options, remote: 'upstream' }, 'REMOTE_NOT_FOUND', "'upstream'", 'origin');
  });

  test('in a repository without remotes is not found, and the message says how to add it', (t) => {
    const repo = makeRepo(t);
    repo.commit();
    assertMisuse(
      { remote: 'origin', repoPath: repo.path },
      'REMOTE_NOT_FOUND',
      "'origin'",
      'git remote add',
    );
  });

  const SECRETS = ['s3cretuser', 's3cretpassword', 's3crettoken'];

  test('keeps its secrets out of every message and of the status', async (t) => {
    const { repo, options } = makePair(t);
    const url = 'https://s3cretuser:s3cretpassword@127.0.0.1:1/data.git?token=s3crettoken';
    repo.git('remote', 'add', 'secret', url);
    const texts = [];
    for (const remote of [url, 'secret']) {
      const daemon = startPushDaemon({ ...options, remote });
      texts.push(thrownBy(() => startPushDaemon({ ...options, remote })).message);
      const { err, hint } = await once(daemon, 'error');
      texts.push(err.message, err.stack, hint, JSON.stringify(daemon.status()));
      await within(daemon.stop({ timeoutMs: 0 }), 'stop');
    }
    for (const wrong of [
      { remote: `${url}\0` },
      { branch: url },
      { repoPath: url },
      { transport: url },
      { onDivergence: url },
      { backoff: url },
      { maxRetries: url },
      { debounceMs: url },
      { watch: url },
      { logger: url },
      { [url]: 1 },
      { backoff: { [url]: 1 } },
    ]) {
      texts.push(thrownBy(() => startPushDaemon({ ...options, ...wrong })).message);
    }
    texts.push(thrownBy(() => startPushDaemon(url)).message);
    for (const text of texts) {
      for (const secret of SECRETS) assert.ok(!text.includes(secret), text);
    }
  });
});

describe('a second daemon for the same target', () => {
  test('is refused, however the target is spelled, until the first has stopped', async (t) => {
    const { repo, remote, options } = makePair(t);
    const link = path.join(makeDirectory(t), 'link');
    symlinkSync(repo.path, link);
    const first = start(t, options);
    for (const same of [
      options,
      { ...options, branch: 'refs/heads/main' },
      { ...options, branch: undefined },
      { ...options, repoPath: link },
      { ...options, remote: remote.path },
    ]) {
      assertMisuse(
        same,
        'ALREADY_RUNNING',
        'refs/heads/main',
        repo.path,
        remote.path,
        'stop it first',
      );
    }
    await within(first.stop(), 'stop');
    await untilState(start(t, options), 'in-sync');
  });

  test('is refused while the first is stopping, and allowed in its stopped event', async (t) => {
    const { remote, repo, options } = makePair(t);
    const gate = gateHook(t, remote);
    const first = start(t, options);
    repo.commit();
    const stopped = first.stop();
    await untilState(first, 'stopping');
    assertMisuse(options, 'ALREADY_RUNNING');
    let second;
    first.once('stopped', () => {
      second = start(t, options);
    });
    gate.open();
    assert.deepEqual(await within(stopped, 'stop'), { drained: true, pendingCommits: 0 });
    await untilState(second, 'in-sync');
  });

  test('is allowed for another branch, another remote or another repository', async (t) => {
    const { repo, options } = makePair(t);
    const other = makeRemote(t);
    repo.git('remote', 'add', 'other', other.path);
    repo.commit({ branch: 'side' });
    const daemons = [
      start(t, options),
      start(t, { ...options, branch: 'side' }),
      start(t, { ...options, remote: 'other' }),
      start(t, makePair(t).options),
    ];
    for (const daemon of daemons) await untilState(daemon, 'in-sync');
    assert.equal(other.tip(), repo.tip());
  });

  test('is refused in a worker thread too, and allowed there once the first has stopped', async (t) => {
    const { options } = makePair(t);
    const first = start(t, options);
    const attempt = async () => {
      const worker = new Worker(
        `const { parentPort, workerData: { index, options } } = require('node:worker_threads');
         try {
           require(index).startPushDaemon(options).stop({ timeoutMs: 0 }).then(() => parentPort.postMessage('started'));
         } catch (error) {
           parentPort.postMessage(error.code);
         }`,
        { eval: true, workerData: { index: path.join(ROOT, 'index.js'), options } },
      );
      const exited = onceEmitted(worker, 'exit');
      const [answer] = await within(onceEmitted(worker, 'message'), 'the worker’s answer');
      await within(exited, 'the worker’s exit');
      return answer;
    };
    assert.equal(await attempt(), 'ERR_PUSH_DAEMON_ALREADY_RUNNING');
    await within(first.stop(), 'stop');
    assert.equal(await attempt(), 'started');
    await untilState(start(t, options), 'in-sync');
  });
});

test('any argument throws nothing but an Error with a declared code', async (t) => {
  const { options } = makePair(t);
  const unreadable = makeRepo(t);
  writeFileSync(path.join(unreadable.path, 'config'), '[core\n');
  const noHead = makeRepo(t);
  writeFileSync(path.join(noHead.path, 'HEAD'), 'nonsense\n');
  const brokenRemote = makePair(t);
  brokenRemote.repo.git('config', 'remote.origin.url', '');
  chmodSync(makeDirectory(t), 0o000);
  const texts =
    ' |\0|\ud800|::|a::b|https://|ssh://|ssh://-oProxyCommand=x/y|-x|--upload-pack=x|http://[';
  const odd = [
    [...texts.split('|'), '', '[::1]:x', 'x'.repeat(70_000)],
    [unreadable.path, noHead.path, brokenRemote.repo.path],
    [undefined, null, true, 0, -0, Number.NaN, 1n, Symbol.iterator, () => {}],
    [[], [[]], {}, Object.create(null), new Date(), new Map(), Buffer.alloc(3)],
    [new Proxy({}, {}), new String('main')],
  ].flat();
  const daemons = [];
  const attempt = (given) => {
    try {
      daemons.push(startPushDaemon(given));
    } catch (error) {
      assert.ok(error instanceof Error, String(error));
      assert.ok(CODES.includes(error.code), `${error.code}: ${error.message}`);
    }
    // One at a time: the next may have the same target.
    return Promise.all(daemons.splice(0).map((daemon) => daemon.stop({ timeoutMs: 0 })));
  };
  for (const value of odd) {
    await within(attempt(value), 'stop');
    for (const name of members('PushDaemonOptions')) {
      await within(attempt({ ...options, [name]: value }), 'stop');
    }
  }
});
