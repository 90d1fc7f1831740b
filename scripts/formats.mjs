/**
 * `npm run formats`: the tests whose result may depend on how a repository stores objects and refs, once in each format:
 * SHA-1 and SHA-256, refs in files and in reftables. `npm test` runs a part of them. `npm run formats -- sha256 reftable`
 * runs those of one format.
 */

import { pathToFileURL } from 'node:url';

import { Failed, main, run, step } from './process.mjs';
import { prepareServers } from './servers.mjs';
import { setUp } from './setup.mjs';

export const FORMATS = ['sha1', 'sha256'].flatMap((objects) =>
  ['files', 'reftable'].map((refs) => ({ objects, refs })),
);

export const nameOf = ({ objects, refs }) => `${objects} ${refs}`;

const SUITES = ['push', 'divergence', 'failure', 'races', 'shutdown', 'stress'];
const MORE_SUITES = ['handle', 'kill', 'lenient', 'exit'];
const RUST_TESTS = ['wire', 'cli', 'ssh', 'https'];

const suites = (names) => ({
  name: 'suites',
  command: process.execPath,
  args: ['--test', '--test-reporter=spec', ...names.map((name) => `__test__/${name}.test.mjs`)],
});
const faults = (...words) => ({
  name: `faults ${words.join(' ')}`,
  command: process.execPath,
  args: ['__test__/faults/run.mjs', '--check', ...words],
});
const kill = (...options) => ({
  name: 'kill rounds',
  command: process.execPath,
  args: ['scripts/kill.mjs', ...options],
});

/**
 * What `npm test` runs in a format that git does not use by default: most in those of git 3.0, and less in each mixture.
 */
export function partFor({ objects, refs }) {
  if (objects === 'sha1' && refs === 'files') return [];
  if (objects === 'sha256' && refs === 'reftable') {
    return [suites([...SUITES, 'kill']), faults('mid-pack')];
  }
  const once = ['--rounds', '1', '--transport', 'local'];
  return [suites(['push', 'stress']), faults('https', 'mid-pack'), kill(...once)];
}

const whole = () => [
  suites([...SUITES, ...MORE_SUITES]),
  faults('mid-pack'),
  faults('local'),
  {
    name: 'cargo test',
    command: 'cargo',
    args: ['test', '--release', ...RUST_TESTS.flatMap((name) => ['--test', name])],
  },
];

/** The environment in which `git init` makes repositories of a format. */
export const environmentOf = ({ objects, refs }) => ({
  ...process.env,
  GIT_DEFAULT_HASH: objects,
  GIT_DEFAULT_REF_FORMAT: refs,
});

async function runWhole(format) {
  for (const { name, command, args } of whole()) {
    const { ok } = await run(command, args, { env: environmentOf(format) });
    if (!ok) throw new Failed(`${name} failed: see above`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async () => {
    await setUp();
    await prepareServers();
    const words = process.argv.slice(2);
    const chosen = FORMATS.filter((format) => words.every((word) => nameOf(format).includes(word)));
    if (chosen.length === 0) throw new Failed(`the formats are ${FORMATS.map(nameOf).join(', ')}`);
    for (const format of chosen) await step(nameOf(format), () => runWhole(format));
  });
}
