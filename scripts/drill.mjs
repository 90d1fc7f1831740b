/**
 * `npm run drill`: rehearses the loss of a pod, 20 times in each mode. The example API writes under load over ssh; at a
 * random moment it is killed by SIGKILL and its data directory deleted; a new process restores, serves and goes on.
 *
 * It fails if a write is missing that was confirmed: by the answer in the synchronous mode, by a `push` event otherwise.
 * `npm run drill -- --rounds 3 --mode sync --seed 7` does less; `--write` writes the result into docs/reliability.md.
 */

import { parseArgs } from 'node:util';

import { makeScope } from '../__test__/support/cleanup.mjs';
import { MODES, rehearse } from '../__test__/support/drill.mjs';
import { randomFrom } from '../__test__/support/random.mjs';
import { missing, startSshd } from '../__test__/support/servers.mjs';
import { table } from './markdown.mjs';
import { Failed, interruption, main, step } from './process.mjs';
import { circumstances, writeSection } from './reliability.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    mode: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const seed = Number(values.seed);
const isInterrupted = interruption();

const HEAD = [
  'mode',
  'rounds',
  'writes answered as done',
  'confirmed, and missing afterwards',
  'not confirmed yet, and lost',
  'RPO, ms (p50, p99, max)',
  'RTO, ms (p50, p99, max)',
];

await main(async () => {
  if (!(rounds > 0)) throw new Failed('--rounds must be a number above 0');
  if (missing.ssh) throw new Failed(missing.ssh);
  const random = randomFrom(seed);
  const scope = makeScope();
  const rows = [];
  const broken = [];
  const lost = [];
  try {
    const server = await startSshd(scope);
    for (const mode of MODES.filter((name) => name.includes(values.mode))) {
      const results = [];
      for (let round = 1; round <= rounds && !isInterrupted(); round += 1) {
        await step(`${mode}, round ${round}`, async () => {
          const result = await rehearse(server, mode, random);
          results.push(result);
          broken.push(...result.broken.map((what) => `${mode}, round ${round}: ${what}`));
          lost.push(...result.missing.map((what) => `${mode}, round ${round}: ${what}`));
          return `${result.answered} writes, ${result.missing.length} lost, back after ${Math.round(result.rto)} ms`;
        });
      }
      rows.push([mode, ...summary(results)]);
    }
  } finally {
    await scope.end();
  }
  const report = table(HEAD, rows);
  console.log(`\n${report}\n\n${circumstances()}`);
  if (lost.length > 0) console.log(`\nLost before a push event:\n${lost.join('\n')}`);
  if (isInterrupted()) throw new Failed('interrupted before all rounds had run');
  if (values.write) {
    const command = `npm run drill -- --rounds ${rounds} --seed ${seed}`;
    writeSection('drill', `\`${command}\`, ${circumstances()}:\n\n${report}`);
  }
  if (broken.length > 0) throw new Failed(`Confirmed and lost:\n${broken.join('\n')}`);
});

function summary(results) {
  const sum = (count) => results.reduce((total, result) => total + count(result), 0);
  return [
    results.length,
    sum(({ answered }) => answered),
    sum(({ broken }) => broken.length),
    sum(({ missing, broken }) => missing.length - broken.length),
    percentiles(results.flatMap(({ rpo }) => rpo)),
    percentiles(results.map(({ rto }) => rto)),
  ];
}

function percentiles(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const at = (share) => Math.round(sorted[Math.ceil(share * sorted.length) - 1]);
  return `${at(0.5)}, ${at(0.99)}, ${at(1)}`;
}
