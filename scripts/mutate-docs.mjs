/**
 * `npm run mutate:docs`: checks that the tests notice missing parts. In a copy of the repository, with uncommitted changes,
 * it deletes each block of code of each document in turn, and each test that ARCHITECTURE.md names for an invariant. Each
 * time the tests that check the presence of such parts must fail.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Document, documentNames } from '../__test__/support/markdown.mjs';
import { invariants, withoutTest } from '../__test__/support/named-tests.mjs';
import { Failed, interruption, main, ROOT, step } from './process.mjs';

const BLOCKS = [
  '__test__/documents.test.mjs',
  '^has a runner for each block, and a block for each runner$',
];
const INVARIANTS = '__test__/architecture.test.mjs';

const isInterrupted = interruption();

await main(async () => {
  const copy = mkdtempSync(path.join(tmpdir(), 'git-push-daemon-mutate-'));
  const unnoticed = [];
  try {
    copyTo(copy);
    for (const mutation of [...blocks(), ...tests()]) {
      if (isInterrupted()) throw new Failed('interrupted');
      await step(mutation.name, () => {
        const isNoticed = passes(copy, mutation.by) && !passesWith(copy, mutation);
        if (!isNoticed) unnoticed.push(mutation.name);
        return isNoticed ? 'noticed' : 'NOT NOTICED';
      });
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  if (unnoticed.length > 0) throw new Failed(`Not noticed:\n${unnoticed.join('\n')}`);
});

/** Copies the files of the repository and the built files that the tests load. */
function copyTo(folder) {
  const list = execFileSync(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    {
      cwd: ROOT,
      encoding: 'utf8',
    },
  );
  const built = readdirSync(ROOT).filter((name) => /^native\.|\.node$/.test(name));
  for (const name of [...list.split('\0').filter(Boolean), ...built]) {
    cpSync(path.join(ROOT, name), path.join(folder, name));
  }
  for (const modules of ['node_modules', 'examples/fastify-api/node_modules']) {
    symlinkSync(path.join(ROOT, modules), path.join(folder, modules));
  }
}

function blocks() {
  return documentNames().flatMap((file) =>
    new Document(file).blocks.map(({ id, line, body }) => ({
      name: `${file}: ${id}`,
      file,
      change: (text) =>
        text
          .split('\n')
          .toSpliced(line - 1, body.split('\n').length + 1)
          .join('\n'),
      by: BLOCKS,
    })),
  );
}

function tests() {
  return invariants(new Document('ARCHITECTURE.md')).flatMap(({ name, tests: held }) =>
    held.map(([file, title]) => ({
      name: `${name}: ${title}`,
      file,
      change: (text) => withoutTest(text, file, title),
      by: [INVARIANTS, `^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`],
    })),
  );
}

function passesWith(copy, { file, change, by }) {
  const place = path.join(copy, file);
  const before = readFileSync(place, 'utf8');
  writeFileSync(place, change(before));
  try {
    return passes(copy, by);
  } finally {
    writeFileSync(place, before);
  }
}

function passes(copy, [file, pattern]) {
  const { status } = spawnSync(process.execPath, ['--test', '--test-name-pattern', pattern, file], {
    cwd: copy,
    stdio: 'ignore',
  });
  return status === 0;
}
