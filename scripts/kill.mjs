/**
 * `npm run kill`: the process that pushes is killed by SIGKILL at each point of a push, over each way to the remote,
 * and started again. After each round the remote has every commit, both repositories are sound, and nothing runs that
 * the killed process had started.
 *
 * `npm run kill -- --rounds 5 --way ssh --phase mid-pack` does less; `--write` puts the result into docs/reliability.md.
 */

import { parseArgs } from 'node:util';

import { makeScope } from '../__test__/support/cleanup.mjs';
import { killAndRestart, PHASES, WAYS } from '../__test__/support/kill.mjs';
import { randomFrom } from '../__test__/support/random.mjs';
import { table } from './markdown.mjs';
import { Failed, interruption, main, step } from './process.mjs';
import { circumstances, writeSection } from './reliability.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '25' },
    jobs: { type: 'string', default: '4' },
    seed: { type: 'string', default: '1' },
    way: { type: 'string', default: '' },
    phase: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const jobs = Number(values.jobs);
const seed = Number(values.seed);
const isInterrupted = interruption();

await main(async () => {
  if (!(rounds > 0 && jobs > 0)) throw new Failed('--rounds and --jobs are numbers above 0');
  const phases = PHASES.filter(({ name }) => name.includes(values.phase));
  const ways = WAYS.filter(({ name }) => name.includes(values.way));
  const scope = makeScope();
  const rows = [];
  const failures = [];
  try {
    for (const { name, missing, open } of ways) {
      if (missing) throw new Failed(missing);
      const way = await open(scope);
      for (const phase of phases) {
        if (isInterrupted()) break;
        await step(`${name}, ${phase.name}`, async () => {
          const { results, errors } = await runRounds(way, phase);
          failures.push(...errors.map((error) => `${name}, ${phase.name}: ${error.stack}`));
          rows.push([name, phase.name, `${results.length} of ${rounds}`, ...summary(results)]);
          if (errors.length > 0) return `${errors.length} rounds FAILED`;
          return `${results.length} rounds`;
        });
      }
    }
  } finally {
    await scope.end();
  }
  const report = table(
    [
      'way',
      'killed',
      'rounds that held',
      'nothing ours left after, s (max)',
      'in sync again after, s (median, max)',
    ],
    rows,
  );
  console.log(`\n${report}\n\n${circumstances()}`);
  if (isInterrupted()) throw new Failed('interrupted: not all rounds have been');
  if (values.write) {
    const command = `npm run kill -- --rounds ${rounds} --seed ${seed}`;
    writeSection('kill', `### Measured\n\n\`${command}\`, ${circumstances()}:\n\n${report}`);
  }
  if (failures.length > 0) throw new Failed(failures.join('\n\n'));
});

/** All rounds of one phase, several at a time. */
async function runRounds(way, phase) {
  const results = [];
  const errors = [];
  let next = 0;
  const work = async () => {
    while (next < rounds && !isInterrupted()) {
      const round = next;
      next += 1;
      try {
        results.push(
          await killAndRestart({ way, phase, round, random: randomFrom(seed * 1000 + round) }),
        );
      } catch (error) {
        errors.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return { results, errors };
}

/** What a row says of the rounds that held. */
function summary(results) {
  if (results.length === 0) return ['', ''];
  const sorted = (key) => results.map((result) => result[key]).sort((a, b) => a - b);
  const seconds = (ms) => (ms / 1000).toFixed(1);
  const inSync = sorted('inSyncMs');
  const median = inSync[Math.floor(inSync.length / 2)];
  return [seconds(sorted('outlivedMs').at(-1)), `${seconds(median)}, ${seconds(inSync.at(-1))}`];
}
