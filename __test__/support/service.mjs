/** A TypeScript service in a folder of its own that depends on this package, as its users' do. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { ROOT, startScript } from './child.mjs';
import { makeDirectory } from './git.mjs';
import { STRICT } from './strict.mjs';

const COMPILE_LIMIT_MS = 180_000;

/** Where packages of others are. */
const MODULES = ['node_modules', 'examples/fastify-api/node_modules'].map((place) =>
  path.join(ROOT, place),
);

export class Service {
  /**
   * @param {object} t the test
   * @param {{files: Record<string, string>, packages?: string[]}} options paths and contents; what it depends on besides
   */
  constructor(t, { files, packages = [] }) {
    this.directory = makeDirectory(t);
    this.write('package.json', JSON.stringify({ name: 'service', type: 'module' }));
    this.#link('git-push-daemon', ROOT);
    for (const name of ['@types/node', ...packages]) {
      const place = MODULES.map((modules) => path.join(modules, name)).find(existsSync);
      assert.ok(place, `${name} is installed`);
      this.#link(name, place);
    }
    for (const [file, content] of Object.entries(files)) this.write(file, content);
    const compilerOptions = {
      ...STRICT,
      noUncheckedIndexedAccess: true,
      // Those of Node take longer than everything else, and are not the question.
      skipLibCheck: true,
    };
    this.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['*.ts'] }));
  }

  #link(name, target) {
    const place = path.join(this.directory, 'node_modules', name);
    mkdirSync(path.dirname(place), { recursive: true });
    symlinkSync(target, place);
  }

  write(file, content) {
    const place = path.join(this.directory, file);
    mkdirSync(path.dirname(place), { recursive: true });
    writeFileSync(place, content);
  }

  /** Compiles it, beside its sources unless told otherwise. */
  compile(compiler = 'typescript', ...args) {
    const { status, stdout, error } = spawnSync(
      process.execPath,
      [path.join(ROOT, 'node_modules', compiler, 'bin', 'tsc'), '-p', this.directory, ...args],
      { encoding: 'utf8', timeout: COMPILE_LIMIT_MS, killSignal: 'SIGKILL' },
    );
    assert.equal(error, undefined);
    assert.equal(status, 0, stdout);
  }

  /** Starts a script in it once it is compiled; `load(name)` imports one of its files. */
  start(source, env) {
    const base = pathToFileURL(`${this.directory}/`).href;
    return startScript(`const load = (name) => import(new URL(name, '${base}').href);\n${source}`, {
      env,
      cwd: this.directory,
    });
  }
}
