/**
 * `npm run runners`: the package under the test runners that its users have. The current Jest and vitest and the packed
 * package are installed in a temporary folder, and the tests in `runners/` run in each way that these have to isolate
 * tests: by realms, threads and processes. What they do to a module, by itself, is in `__test__/copies.test.mjs`.
 */

import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Failed, main, npm, ROOT, run, step } from './process.mjs';
import { setUp } from './setup.mjs';

const QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];

/** Each twice, so that a second file meets leftovers of the first. */
const FILES = ['one', 'other'];

const WAYS = [
  ['jest, in one process', 'jest', ['--runInBand']],
  ['jest, in several processes', 'jest', ['--maxWorkers=2']],
  ...['forks', 'threads', 'vmForks', 'vmThreads'].map((pool) => [
    `vitest, pool ${pool}`,
    'vitest',
    ['run', '--pool', pool],
  ]),
];

await main(async () => {
  await setUp();
  const folder = mkdtempSync(path.join(tmpdir(), 'git-push-daemon-runners-'));
  try {
    await step('the runners', () => install(folder));
    const failures = [];
    for (const [name, program, args] of WAYS) {
      await step(name, () => test(folder, program, args)).catch((error) => {
        if (!(error instanceof Failed)) throw error;
        failures.push(`${name}: ${error.message}`);
      });
    }
    if (failures.length > 0) throw new Failed(failures.join('\n'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

async function install(folder) {
  const source = path.join(ROOT, 'scripts/runners');
  for (const name of FILES) {
    cpSync(path.join(source, 'jest.cjs'), path.join(folder, `${name}.jest.cjs`));
    cpSync(path.join(source, 'vitest.mjs'), path.join(folder, `${name}.vitest.mjs`));
  }
  for (const name of ['cases.cjs', 'place.cjs']) {
    cpSync(path.join(source, name), path.join(folder, name));
  }
  const jest = {
    testMatch: ['**/*.jest.cjs'],
    moduleFileExtensions: ['cjs', 'js', 'json', 'node'],
  };
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ private: true, jest }));
  const vitest = { test: { include: ['*.vitest.mjs'] } };
  writeFileSync(
    path.join(folder, 'vitest.config.mjs'),
    `export default ${JSON.stringify(vitest)};\n`,
  );
  const packed = await npm(['pack', '--silent', '--pack-destination', folder]);
  if (!packed.ok) throw new Failed('the package could not be packed');
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
  const wanted = ['jest', 'vitest', `./${tarball}`];
  const { ok } = await npm(['install', ...QUIET, ...wanted], { cwd: folder });
  if (!ok) throw new Failed('they could not be installed');
}

async function test(folder, program, args) {
  const warnings = path.join(folder, 'warnings');
  const { ok } = await run(path.join(folder, 'node_modules/.bin', program), args, {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: `--redirect-warnings=${warnings}` },
  });
  if (!ok) throw new Failed('a test failed');
  const said = existsSync(warnings) ? readFileSync(warnings, 'utf8') : '';
  rmSync(warnings, { force: true });
  if (/MaxListeners/.test(said)) throw new Failed(said);
}
