/**
 * `npm run kill`: kills the pushing process by SIGKILL at each point of a push, over each transport, and starts it
 * again. After each round the remote must have every commit, both repositories must be sound, and nothing that the
 * killed process started may run.
 *
 * `npm run kill -- --rounds 5 --transport ssh --phase mid-pack` does less; `--write` writes the result into
 * docs/reliability.md.
 */

import { parseArgs } from 'node:util';

import { makeScope } from '../__test__/support/cleanup.mjs';
import { killAndRestart, PHASES, TRANSPORTS } from '../__test__/support/kill.mjs';
import { randomFrom } from '../__test__/support/random.mjs';
import { table } from './markdown.mjs';
import { Failed, interruption, main, step } from './process.mjs';
import { circumstances, writeSection } from './reliability.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '25' },
    jobs: { type: 'string', default: '4' },
    seed: { type: 'string', default: '1' },
    transport: { type: 'string', default: '' },
    phase: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const jobs = Number(values.jobs);
const seed = Number(values.seed);
const isInterrupted = interruption();

/** The columns of the table for one transport. */
const COLUMNS = ['rounds held', 'nothing left after, s (max)', 'in sync after, s (median, max)'];

await main(async () => {
  if (!(rounds > 0 && jobs > 0)) throw new Failed('--rounds and --jobs must be numbers above 0');
  const phases = PHASES.filter(({ name }) => name.includes(values.phase));
  const transports = TRANSPORTS.filter(({ name }) => name.includes(values.transport));
  const scope = makeScope();
  const rows = phases.map(({ name }) => [name]);
  const failures = [];
  try {
    for (const { name, missing, open } of transports) {
      if (missing) throw new Failed(missing);
      const transport = await open(scope);
      for (const [index, phase] of phases.entries()) {
        if (isInterrupted()) break;
        await step(`${name}, ${phase.name}`, async () => {
          const { results, errors } = await runRounds(transport, phase);
          failures.push(...errors.map((error) => `${name}, ${phase.name}: ${error.stack}`));
          rows[index].push(`${results.length} of ${rounds}`, ...summary(results));
          if (errors.length > 0) return `${errors.length} rounds FAILED`;
          return `${results.length} rounds`;
        });
      }
    }
  } finally {
    await scope.end();
  }
  const columns = transports.flatMap(({ name }) => COLUMNS.map((column) => `${name}: ${column}`));
  const report = table(['killed', ...columns], rows);
  console.log(`\n${report}\n\n${circumstances()}`);
  if (isInterrupted()) throw new Failed('interrupted before all rounds had run');
  if (values.write) {
    const command = `npm run kill -- --rounds ${rounds} --seed ${seed}`;
    writeSection('kill', `### Measured\n\n\`${command}\`, ${circumstances()}:\n\n${report}`);
  }
  if (failures.length > 0) throw new Failed(failures.join('\n\n'));
});

/** All rounds of one phase, several at a time. */
async function runRounds(transport, phase) {
  const results = [];
  const errors = [];
  let next = 0;
  const work = async () => {
    while (next < rounds && !isInterrupted()) {
      const round = next;
      next += 1;
      try {
        results.push(
          await killAndRestart({
            transport,
            phase,
            round,
            random: randomFrom(seed * 1000 + round),
          }),
        );
      } catch (error) {
        errors.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return { results, errors };
}

/** The entries of a row for the rounds that held. */
function summary(results) {
  if (results.length === 0) return ['', ''];
  const sorted = (key) => results.map((result) => result[key]).sort((a, b) => a - b);
  const seconds = (ms) => (ms / 1000).toFixed(1);
  const inSync = sorted('inSyncMs');
  const median = inSync[Math.floor(inSync.length / 2)];
  return [seconds(sorted('outlivedMs').at(-1)), `${seconds(median)}, ${seconds(inSync.at(-1))}`];
}
