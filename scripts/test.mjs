/**
 * `npm test`: set-up, then the Rust tests, the Node tests and a type check, each with its runner's counts. If `CI` is
 * `true`, a skipped test fails the run.
 *
 * `npm test -- stop watch` runs only the Node test files with one of these words in their names.
 */

import { readdirSync } from 'node:fs';
import path from 'node:path';

import { environmentOf, FORMATS, nameOf, partFor } from './formats.mjs';
import { Failed, main, plain, ROOT, run, step, style } from './process.mjs';
import { prepareServers } from './servers.mjs';
import { installPackages, setUp } from './setup.mjs';

const FORBID_SKIPPED = process.env.CI === 'true';

await main(async () => {
  await setUp();
  await step('servers for the tests', prepareServers);
  await step('versions of Node for the tests', prepareNodeVersions);
  const stages = [
    ['cargo test', rustTests],
    ['node --test', () => nodeTests(testFiles(process.argv.slice(2)))],
    ...(process.argv.length > 2 ? [] : FORMATS.flatMap(stagesOf)),
    ['tsc', typeCheck],
  ];
  const failures = [];
  for (const [name, work] of stages) {
    console.log(`\n${style.bold(name)}`);
    try {
      await step(name, work);
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      failures.push(`${name}: ${error.message}`);
    }
  }
  if (failures.length > 0) throw new Failed(failures.join('\n'));
});

/** Other versions of Node, as npm packages. They exist for Linux on x64 only; elsewhere none is installed. */
function prepareNodeVersions() {
  return installPackages(path.join(ROOT, '__test__', 'node-versions'));
}

async function rustTests() {
  const { ok, output } = await run(
    'cargo',
    ['test', '--workspace', '--release', '--no-fail-fast'],
    {
      keep: true,
    },
  );
  const results = [...plain(output).matchAll(/(\d+) passed; (\d+) failed; (\d+) ignored/g)];
  const sum = (column) => results.reduce((total, result) => total + Number(result[column]), 0);
  return conclude(ok, { passed: sum(1), failed: sum(2), skipped: sum(3) });
}

/** The stages of a format that git does not use by default. */
function stagesOf(format) {
  const env = environmentOf(format);
  return partFor(format).map(({ name, command, args }) => [
    `${nameOf(format)}: ${name}`,
    () => (name === 'suites' ? counted(args, env) : succeeds(command, args, env)),
  ]);
}

async function succeeds(command, args, env) {
  const { ok } = await run(command, args, { env });
  if (!ok) throw new Failed('see above');
}

function nodeTests(files) {
  return counted(['--test', '--test-reporter=spec', ...files]);
}

/** Runs Node's test runner, and counts its tests. */
async function counted(args, env = process.env) {
  const { ok, output } = await run(process.execPath, args, { keep: true, env });
  const count = (name) =>
    Number(plain(output).match(new RegExp(`^ℹ ${name} (\\d+)$`, 'm'))?.[1] ?? Number.NaN);
  return conclude(ok, {
    passed: count('pass'),
    failed: count('fail') + count('cancelled'),
    skipped: count('skipped') + count('todo'),
  });
}

/** Listed by hand, as Node 20's runner takes no patterns. */
function testFiles(words) {
  const files = readdirSync(path.join(ROOT, '__test__'), { recursive: true })
    .filter((name) => /\.test\.[cm]?js$/.test(name) && !name.includes('node_modules'))
    .filter((name) => words.length === 0 || words.some((word) => name.includes(word)))
    .map((name) => path.join('__test__', name))
    .sort();
  if (files.length === 0) throw new Failed(`no test file has ${words.join(' or ')} in its name`);
  return files;
}

async function typeCheck() {
  const compiler = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const { ok } = await run(process.execPath, [compiler, '-p', 'tsconfig.json']);
  if (!ok) throw new Failed('the contract in index.d.ts does not compile');
  return 'index.d.ts compiles';
}

/** The counts as text; throws if they, or the runner, report a failure. */
function conclude(ok, { passed, failed, skipped }) {
  const counts = `${passed} passed, ${failed} failed, ${skipped} skipped`;
  if (!ok) throw new Failed(counts);
  if (!(passed > 0)) throw new Failed(`no test ran (${counts})`);
  if (FORBID_SKIPPED && skipped !== 0) throw new Failed(`${counts}: in CI every test must run`);
  return counts;
}
