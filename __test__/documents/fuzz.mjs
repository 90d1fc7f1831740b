/** fuzz/README.md: a whole run takes an hour and cargo-fuzz, so its commands and its tables are held to what there is. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from '../support/child.mjs';

const FOLDER = path.join(ROOT, 'fuzz');
const targets = readdirSync(path.join(FOLDER, 'fuzz_targets')).map((file) => path.parse(file).name);
const text = readFileSync(path.join(FOLDER, 'README.md'), 'utf8');

function commands({ body }) {
  return body
    .trim()
    .split('\n')
    .map((line) => line.split('#')[0].trim());
}

function itsCommands(_t, block) {
  const source = readFileSync(path.join(ROOT, 'scripts', 'fuzz.mjs'), 'utf8');
  const { scripts } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  assert.equal(scripts.fuzz, 'node scripts/fuzz.mjs');
  const [install, ...runs] = commands(block);
  assert.ok(source.includes(install), 'the script says the same where it is missing');
  for (const command of runs) {
    const [, given = ''] = /^npm run fuzz(?: -- (.+))?$/.exec(command) ?? assert.fail(command);
    for (const word of given.split(' ').filter((word) => /^[a-z]/.test(word))) {
      assert.ok(targets.includes(word), word);
    }
    for (const [, option] of given.matchAll(/--(\w+)/g)) {
      assert.match(source, new RegExp(`^      ${option}: \\{ type`, 'm'));
    }
  }
}

function itsRepetitions(_t, block) {
  for (const command of commands(block)) {
    const [, target, folder] =
      /^cargo fuzz (?:run|tmin) --sanitizer none (\w+) fuzz\/artifacts\/(\w+)\/crash-\w+$/.exec(
        command,
      ) ?? assert.fail(command);
    assert.ok(targets.includes(target), target);
    assert.equal(folder, target);
  }
}

function itsTables() {
  const rows = [
    ...text.matchAll(/^\| ([\w -]+) \| ([\d,]+) \| .*\| (\w+) \| \d{4}-\d\d-\d\d \|$/gm),
  ];
  const names = [...targets, 'histories to git receive-pack'];
  assert.deepEqual(rows.map(([, name]) => name).sort(), names.sort());
  for (const [row, name, executions, result] of rows) {
    const least = targets.includes(name) ? 1_000_000 : 10_000;
    assert.ok(Number(executions.replaceAll(',', '')) >= least, row);
    assert.equal(result, 'holds', row);
  }
  for (const target of targets) assert.ok(text.includes(`\n| \`${target}\` | `), target);
}

function itsFindings() {
  const named = [...text.matchAll(/`(regressions\/\w+\/[\w-]+)`/g)].map(([, file]) => file);
  for (const file of named) assert.ok(existsSync(path.join(FOLDER, file)), file);
  const kept = readdirSync(path.join(FOLDER, 'regressions')).flatMap((target) =>
    readdirSync(path.join(FOLDER, 'regressions', target)).map(
      (file) => `regressions/${target}/${file}`,
    ),
  );
  assert.ok(kept.length > 0);
  assert.deepEqual([...new Set(named)].sort(), kept.sort());
}

export default {
  name: 'fuzz/README.md',
  runs: [
    {
      title: 'its commands are those of the script',
      blocks: ['sh in Running'],
      run: itsCommands,
    },
    {
      title: 'a failure of a target that there is can be repeated',
      blocks: ['sh in Running (2)'],
      run: itsRepetitions,
    },
    { title: 'its tables have each target, with a million executions', blocks: [], run: itsTables },
    { title: 'each finding has its input, and each input its line', blocks: [], run: itsFindings },
  ],
};
