/**
 * docs/migrating.md: a service with its files, before and after the migration, is compiled and run. gitsheets itself is
 * stood in for by a few lines with its documented methods.
 */

import assert from 'node:assert/strict';

import { makePair } from '../support/git.mjs';
import { Service } from '../support/service.mjs';

const BLOCKS = [
  'diff in The boot file',
  'ts in The deployment',
  'ts in Events',
  'ts in Status',
  'diff in Metrics',
  'ts in Differences that matter',
];

/** One side of a diff: its lines that do not start with `other`, without their marks. */
const side = (body, other) =>
  body
    .split('\n')
    .filter((line) => !line.startsWith(other))
    .map((line) => line.slice(1))
    .join('\n');

/** gitsheets' documented methods, as far as the page uses them, over the real git. */
const GITSHEETS_TYPES = `
  import type { EventEmitter } from 'node:events';
  export interface PushDaemon extends EventEmitter {
    status(): { pendingCommits: number };
    stop(options?: { timeoutMs?: number }): Promise<void>;
  }
  export interface Repository {
    readonly gitDir: string;
    transact(
      options: { message: string },
      work: (tx: { sheet(name: string): { upsert(record: object): Promise<void> } }) => Promise<void>,
    ): Promise<{ commitHash: string }>;
    startPushDaemon(options: {
      remote: string;
      branch?: string;
      backoff?: 'exponential';
    }): Promise<PushDaemon>;
  }
  export function openRepo(options: { gitDir: string }): Promise<Repository>;
`;
const GITSHEETS = `
  import { execFileSync } from 'node:child_process';
  export async function openRepo({ gitDir }) {
    const git = (args, input = '') =>
      execFileSync('git', args, { cwd: gitDir, encoding: 'utf8', input, timeout: 30_000 }).trim();
    return {
      gitDir,
      async transact({ message }, work) {
        const entries = [git(['ls-tree', 'HEAD'])].filter(Boolean);
        const upsert = async (record) => {
          const blob = git(['hash-object', '-w', '--stdin'], JSON.stringify(record));
          entries.push('100644 blob ' + blob + '\\t' + record.slug + '.json');
        };
        await work({ sheet: () => ({ upsert }) });
        const tree = git(['mktree'], entries.join('\\n') + '\\n');
        const commitHash = git(['commit-tree', '-p', 'HEAD', '-m', message, tree]);
        git(['update-ref', 'HEAD', commitHash]);
        return { commitHash };
      },
    };
  }
`;
/** A logger that tells the test. */
const LOG = `
  import { writeSync } from 'node:fs';
  const write = (level: string) => (fields: object, msg: string): void => {
    const plain = Object.entries(fields).map(([key, value]) => [key, value instanceof Error ? value.message : value]);
    writeSync(1, JSON.stringify({ level, msg, ...Object.fromEntries(plain) }) + '\\n');
  };
  export const log = { info: write('info'), warn: write('warn'), error: write('error') };
`;

/** The service's own guard of its admin routes. */
const SESSION = `
  import type { FastifyRequest } from 'fastify';
  export async function requireAdmin(request: FastifyRequest): Promise<void> {
    if (request.headers.cookie === 'session=admin') return;
    throw Object.assign(new Error('Sign in as an administrator'), { statusCode: 401 });
  }
`;

/** A service with the page's files, as they are after the migration (or before it). */
function makeService(t, blocks, isMigrated = true) {
  const module = JSON.stringify({ name: 'gitsheets', type: 'module', exports: './index.js' });
  const files = {
    'node_modules/gitsheets/package.json': module,
    'node_modules/gitsheets/index.d.ts': GITSHEETS_TYPES,
    'node_modules/gitsheets/index.js': GITSHEETS,
    'log.ts': LOG,
    'session.ts': SESSION,
  };
  for (const { language, body, id } of blocks) {
    const name = body.match(/^ ?\/\/ ([\w.]+)$/m)?.[1];
    assert.ok(name, `${id} names its file`);
    if (language === 'diff') {
      assert.match(body, /^(?:[ +-].*\n|\n)+$/);
      files[name] = side(body, isMigrated ? '-' : '+');
    } else if (isMigrated) files[name] = body;
  }
  return new Service(t, { files, packages: ['fastify', 'fastify-plugin', 'prom-client'] });
}

async function run(parent, ...blocks) {
  for (const compiler of ['typescript', 'typescript-newest']) {
    await parent.test(`compiles before and after the migration, with ${compiler}`, (t) => {
      makeService(t, blocks, false).compile(compiler, '--noEmit');
      makeService(t, blocks, true).compile(compiler, '--noEmit');
    });
  }

  const service = makeService(parent, blocks);
  service.compile();
  const start = (source, repo, remote = 'origin') =>
    service.start(source, { CFP_DATA_REPO_PATH: repo.path, CFP_DATA_REMOTE: remote });

  await parent.test('its boot file pushes, logs and stops at SIGTERM', async (t) => {
    const { repo, remote } = makePair(t);
    repo.git('symbolic-ref', 'HEAD', 'refs/heads/main');
    const script = start(
      `const { repo } = await load('boot.js');
       const { commitHash } = await repo.transact({ message: 'add jane' }, async (tx) => {
         await tx.sheet('users').upsert({ slug: 'jane' });
       });
       tell({ commitHash });
       setInterval(() => {}, 60_000);`,
      repo,
    );
    const { commitHash } = await script.untilTold((line) => line.commitHash);
    const pushed = await script.untilTold(({ msg }) => msg === 'pushed');
    assert.equal(pushed.commit, commitHash);
    assert.ok(pushed.durationMs > 0);
    assert.equal(remote.git('show', 'main:jane.json'), '{"slug":"jane"}');

    remote.hook('pre-receive', 'exit 1');
    repo.commit();
    const failed = await script.untilTold(({ msg }) => msg === 'push failed');
    assert.deepEqual([failed.level, failed.attempt, failed.reason], ['warn', 1, 'unknown']);
    await script.untilTold(({ msg }) => msg === 'push retry');
    remote.removeHook('pre-receive');

    script.kill('SIGTERM');
    const { code, told } = await script.ended;
    assert.equal(code, 0);
    assert.equal(told.filter(({ msg }) => msg === 'push daemon stopped').length, 1);
    assert.equal(remote.tip(), repo.tip());
  });

  await parent.test('its boot file starts no daemon without a remote', async (t) => {
    const { repo } = makePair(t);
    const script = start(
      `const { pushDaemon } = await load('boot.js');
       tell({ pushDaemon });
       process.exit();`,
      repo,
      '',
    );
    assert.deepEqual(await script.untilTold((line) => 'pushDaemon' in line), {
      pushDaemon: null,
    });
    await script.ended;
  });

  await parent.test(
    'its status route is behind its own session, with its own errors',
    async (t) => {
      const { repo } = makePair(t);
      const script = start(
        `const { addPushDaemon } = await load('admin.js');
       const app = require('fastify')();
       app.setErrorHandler((error, _request, reply) =>
         reply.code(error.statusCode).send({ success: false, error: error.message }));
       await addPushDaemon(app);
       for (const cookie of ['', 'session=admin']) {
         const answer = await app.inject({ url: '/admin/push-daemon', headers: { cookie } });
         tell({ code: answer.statusCode, body: answer.json() });
       }
       await app.close();`,
        repo,
      );
      const { code, told, stderr } = await script.ended;
      assert.equal(code, 0, stderr);
      const refused = { success: false, error: 'Sign in as an administrator' };
      assert.deepEqual(told[0], { code: 401, body: refused });
      assert.deepEqual([told[1].code, told[1].body.branch], [200, 'main']);
    },
  );

  await parent.test(
    'its listeners, its health check, its metrics and its write do what they say',
    async (t) => {
      const { repo, remote } = makePair(t);
      const script = start(
        `const { openRepo } = await load('node_modules/gitsheets/index.js');
       const { listen } = await load('listen.js');
       const { isHealthy } = await load('health.js');
       const { observe } = await load('metrics.js');
       const { write } = await load('write.js');
       const { register } = require('prom-client');
       const repo = await openRepo({ gitDir: process.env.CFP_DATA_REPO_PATH });
       const daemon = startPushDaemon({
         remote: 'origin', branch: 'main', repoPath: repo.gitDir,
         backoff: { base: 3_600_000, multiplier: 1, cap: 3_600_000 }, maxRetries: 1,
       });
       listen(daemon);
       observe(daemon);
       const written = await write(repo, daemon, { slug: 'jane' });
       tell({ step: 'written', ...written, isHealthy: isHealthy(daemon.status()) });
       tell({ step: 'metrics', text: await register.metrics() });
       process.once('SIGUSR2', async () => {
         await daemon.flush().catch(() => {});
         tell({ step: 'gave up', isHealthy: isHealthy(daemon.status()) });
         process.once('SIGUSR2', async () => {
           await daemon.flush();
           tell({ step: 'recovered', isHealthy: isHealthy(daemon.status()) });
           await daemon.stop();
           tell({ step: 'stopped', isHealthy: isHealthy(daemon.status()) });
           process.exit();
         });
         tell({ step: 'waiting' });
       });
       setInterval(() => {}, 60_000);
       tell({ step: 'ready' });`,
        repo,
      );
      const at = (step) => script.untilTold((line) => line.step === step);
      const written = await at('written');
      assert.deepEqual(written, {
        step: 'written',
        commitHash: remote.tip(),
        pending: false,
        isHealthy: true,
      });
      const metrics = await at('metrics');
      assert.match(
        metrics.text,
        /^git_push_daemon_pushed_commits_total\{remote="origin",branch="main"\} 1$/m,
      );

      await at('ready');
      remote.hook('pre-receive', 'echo closed today >&2', 'exit 1');
      repo.commit();
      const warned = await script.untilTold(({ kind }) => kind === 'rejected');
      assert.equal(warned.level, 'warn');
      assert.match(warned.err, /closed today/);
      script.kill('SIGUSR2');
      assert.equal((await at('gave up')).isHealthy, false);
      await at('waiting');
      remote.removeHook('pre-receive');
      script.kill('SIGUSR2');
      const recovered = await script.untilTold(({ msg }) => msg === 'pushing works again');
      assert.equal(recovered.failedAttempts, 2);
      assert.equal((await at('recovered')).isHealthy, true);
      assert.equal((await at('stopped')).isHealthy, false);
      assert.equal((await script.ended).code, 0);
    },
  );
}

export default {
  name: 'docs/migrating.md',
  runs: [{ title: 'makes a service that compiles and runs', blocks: BLOCKS, run }],
};
