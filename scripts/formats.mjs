/**
 * `npm run formats`: the tests whose result may depend on how a repository stores objects and refs, once in each format:
 * SHA-1 and SHA-256, refs in files and in reftables. `npm test` runs a part of them.
 */

import { pathToFileURL } from 'node:url';

import { Failed, main, ROOT, run, step } from './process.mjs';
import { prepareServers } from './servers.mjs';
import { setUp } from './setup.mjs';

const FORMATS = ['sha1', 'sha256'].flatMap((objects) =>
  ['files', 'reftable'].map((refs) => ({ objects, refs })),
);

const SUITES = ['push', 'divergence', 'failure', 'races', 'shutdown', 'stress'];
const MORE_SUITES = ['handle', 'kill', 'lenient', 'exit'];
const RUST_TESTS = ['wire', 'cli', 'ssh', 'https'];

/** Faults of the wire and of the local repository. */
const FAULTS = ['https', 'mid-pack'];

/** Node suites in formats other than git's default: all in those of git 3.0, and two in each mixture. */
export function suitesFor({ objects, refs }) {
  if (objects === 'sha1' && refs === 'files') return [];
  return objects === 'sha256' && refs === 'reftable' ? [...SUITES, 'kill'] : ['push', 'stress'];
}

export { FORMATS };

export const environmentOf = ({ objects, refs }) => ({
  ...process.env,
  GIT_DEFAULT_HASH: objects,
  GIT_DEFAULT_REF_FORMAT: refs,
});

async function runAll(format) {
  const env = environmentOf(format);
  const files = [...SUITES, ...MORE_SUITES].map((name) => `__test__/${name}.test.mjs`);
  const commands = [
    [process.execPath, ['--test', '--test-reporter=spec', ...files]],
    [process.execPath, ['__test__/faults/run.mjs', '--check', ...FAULTS]],
    ['cargo', ['test', '--release', ...RUST_TESTS.flatMap((name) => ['--test', name])]],
  ];
  for (const [command, args] of commands) {
    const { ok } = await run(command, args, { cwd: ROOT, env });
    if (!ok) throw new Failed(`${command} ${args.join(' ')} failed: see above`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async () => {
    await setUp();
    await prepareServers();
    const words = process.argv.slice(2);
    for (const format of FORMATS) {
      const name = `${format.objects}, ${format.refs}`;
      if (words.every((word) => name.includes(word))) await step(name, () => runAll(format));
    }
  });
}
