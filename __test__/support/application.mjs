/** A user's application in a folder outside this repository, with nothing but its installed packages. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from './child.mjs';
import { makeDirectory, makePair } from './git.mjs';
import { STRICT } from './strict.mjs';

const COMPILE_LIMIT_MS = 180_000;

/** Pushes the pending commits, waits for the remote's confirmation, and stops. */
const PUSH = `
const daemon = startPushDaemon({ remote: 'origin', branch: 'main' });
const { commit } = await daemon.flush();
await daemon.stop();
console.log(commit);
`;

const SOURCES = {
  'esm.ts': `import { startPushDaemon } from 'git-push-daemon';\n${PUSH}`,
  'common.cjs': `const { startPushDaemon } = require('git-push-daemon');\n(async () => {${PUSH}})();`,
  'common.cts': `import { startPushDaemon } from 'git-push-daemon';\n(async () => {${PUSH}})();`,
  'subpaths.ts': `
    import fastify from 'fastify';
    import pushDaemon from 'git-push-daemon/fastify';
    import { collectPushDaemonMetrics } from 'git-push-daemon/metrics';
    import { register } from 'prom-client';

    const app = fastify();
    await app.register(pushDaemon, { remote: 'origin', branch: 'main' });
    if (app.pushDaemon === null) throw new Error('no daemon');
    collectPushDaemonMetrics(app.pushDaemon);
    const { commit } = await app.pushDaemon.flush();
    const metrics: string = await register.metrics();
    await app.close();
    console.log(metrics.includes('git_push_daemon_pending_commits') ? commit : metrics);
  `,
};

const TSCONFIG = {
  compilerOptions: { ...STRICT, outDir: 'dist' },
  include: ['*.ts', '*.cts'],
};

export class Application {
  /** @param {object} t the test @param {import('./npm.mjs').Npm} npm */
  constructor(t, npm) {
    this.directory = makeDirectory(t);
    this.npm = npm;
    this.#write('package.json', JSON.stringify({ name: 'api', private: true, type: 'module' }));
    this.#write('tsconfig.json', JSON.stringify(TSCONFIG));
    for (const [name, source] of Object.entries(SOURCES)) this.#write(name, source);
  }

  #write(name, content) {
    writeFileSync(path.join(this.directory, name), content);
  }

  /** `npm install` with these arguments. */
  install(...args) {
    return this.npm.run(this.directory, 'install', ...args);
  }

  /** The lock file that npm wrote. */
  get lock() {
    return JSON.parse(readFileSync(path.join(this.directory, 'package-lock.json'), 'utf8'))
      .packages;
  }

  /** Whether a package is installed. */
  has(name) {
    return existsSync(path.join(this.directory, 'node_modules', name));
  }

  /** Links the packages that development and the subpaths need, from this repository. */
  linkDevelopment() {
    for (const name of [
      '@types/node',
      'undici-types',
      'fastify',
      'fastify-plugin',
      'prom-client',
    ]) {
      const place = path.join(this.directory, 'node_modules', name);
      mkdirSync(path.dirname(place), { recursive: true });
      symlinkSync(path.join(ROOT, 'node_modules', name), place);
    }
  }

  compile() {
    const compiler = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    const options = {
      cwd: this.directory,
      encoding: 'utf8',
      stdio: 'pipe',
      timeout: COMPILE_LIMIT_MS,
    };
    try {
      execFileSync(process.execPath, [compiler, '-p', '.'], options);
    } catch (error) {
      assert.fail(error.stdout || error);
    }
  }

  /** Runs one of its files against a repository with a commit that its remote lacks; the remote must have it then. */
  async pushes(t, file, ...nodeArguments) {
    const { repo, remote } = makePair(t);
    const commit = repo.commit();
    const npm = this.npm;
    npm.env.CFP_DATA_REPO_PATH = repo.path;
    const told = await npm.node(this.directory, ...nodeArguments, file);
    assert.equal(told.trim(), commit);
    assert.equal(remote.tip(), commit);
    remote.fsck();
  }
}
