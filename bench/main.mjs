/**
 * `npm run bench`: the daemon beside `git push`, a daemon that spawns it, libgit2 and the floor, interleaved in one
 * run. `bench/README.md` says how each number is taken.
 *
 *     npm run bench                      everything; takes the place of bench/results and the page's tables
 *     npm run bench -- --quick           fewer cases and repetitions, in under three minutes
 *     npm run bench -- --only ssh,burst  the cases with one of these words in their names
 *     npm run bench -- --without 1M      all but those, and the page says so
 *     npm run bench -- --minutes 20      begins no case after that time, and the page says so
 *     npm run bench -- --no-build        with what is built already, where the caller sees to that
 *     npm run bench -- --list            the names
 *
 * A run of less than everything writes to `bench/results/partial` and leaves the page alone. Exits with 0 whether or
 * not a target is met: a busy machine is no failure, and a case that could not be measured is one.
 */

import path from 'node:path';
import { parseArgs } from 'node:util';

import { makeScope } from '../__test__/support/cleanup.mjs';
import { duration, Failed, main, ROOT, style } from '../scripts/process.mjs';
import { prepareServers } from '../scripts/servers.mjs';
import { setUp } from '../scripts/setup.mjs';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    without: { type: 'string', multiple: true, default: [] },
    minutes: { type: 'string', default: 'Infinity' },
    'no-build': { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
});

const FOLDER = path.join(ROOT, 'bench', 'results');
const LIMIT_MS = Number(options.minutes) * 60_000;
if (!(LIMIT_MS > 0)) {
  throw new Error(`--minutes is ${options.minutes}; expected a number above 0`);
}

await main(async () => {
  if (!options.list && !options['no-build']) {
    await setUp();
    await prepareServers();
  }
  // Imported only now, as they need the addon.
  const { allCases } = await import('./cases/all.mjs');
  if (options.list) {
    for (const { name, title } of allCases) console.log(`${name.padEnd(28)} ${title}`);
    return;
  }
  const words = wordsOf(options.only);
  const unwanted = wordsOf(options.without);
  const isNamed = (name, list) => list.some((word) => name.includes(word));
  const chosen = allCases.filter(
    ({ name, isQuick }) =>
      (words.length > 0 ? isNamed(name, words) : isQuick || !options.quick) &&
      !isNamed(name, unwanted),
  );
  if (chosen.length === 0) throw new Failed('no case has such a name; --list tells all');
  const leftOut = allCases.filter(({ name }) => isNamed(name, unwanted)).map(({ name }) => name);
  await measure(chosen, { isWhole: words.length === 0 && !options.quick, leftOut });
});

function wordsOf(lists) {
  return lists.flatMap((list) => list.split(',')).filter(Boolean);
}

async function measure(chosen, { isWhole, leftOut }) {
  const [{ Native }, { Places }, { missing }, machine, report] = await Promise.all([
    import('./peers/native.mjs'),
    import('./places.mjs'),
    import('../__test__/support/servers.mjs'),
    import('./machine.mjs'),
    import('./report.mjs'),
  ]);
  const run = makeScope();
  // The servers are in groups of their own, which a terminal's Ctrl-C does not reach.
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ]) {
    process.once(signal, () => run.end().finally(() => process.exit(code)));
  }
  const native = new Native({ isBuilt: options['no-build'] });
  run.after(() => native.end());
  const startedAt = new Date();
  const stolen = machine.watchSteal();
  const before = machine.load();
  const cases = [];
  const [skipped, failures] = [[...leftOut], []];
  const places = new Places(run);
  const iterations = (full, quick) => (options.quick ? quick : full);
  try {
    for (const { name, title, needs, run: measureCase } of chosen) {
      if (Date.now() - startedAt >= LIMIT_MS) {
        skipped.push(name);
        continue;
      }
      if (missing[needs]) {
        skipped.push(name);
        console.log(`\n${style.yellow('skipped')} ${title}: ${missing[needs]}`);
        continue;
      }
      const t = makeScope();
      run.after(() => t.end());
      const caseAt = performance.now();
      const loadBefore = machine.load();
      try {
        const context = { run, t, places, native, iterations, scope: makeScope };
        const measured = await measureCase(context);
        cases.push({ name, title, load: loadBefore, ...measured });
        tell(cases[cases.length - 1], report, performance.now() - caseAt);
      } catch (error) {
        failures.push(`${name}: ${error.stack ?? error}`);
        console.log(style.red(`✗ ${title}: ${error.message}`));
      } finally {
        await t.end();
      }
    }
  } finally {
    await run.end();
  }
  const results = {
    startedAt: startedAt.toISOString(),
    durationMs: Date.now() - startedAt,
    isWhole,
    machine: machine.describeMachine(),
    load: { before, after: machine.load() },
    stealPercent: stolen(),
    skipped,
    cases,
  };
  const folder = isWhole ? FOLDER : path.join(FOLDER, 'partial');
  const plotNames = report.writeResults(folder, results);
  if (isWhole) report.updatePage(path.join(ROOT, 'bench', 'README.md'), results, plotNames);
  const missed = cases.flatMap(({ checks = [] }) => checks).filter(({ isMet }) => !isMet).length;
  console.log(
    `\n${missed === 0 ? 'Every target was met' : `${missed} targets were missed`}; load ${before} before, ` +
      `${results.load.after} after, steal ${results.stealPercent} %; ${duration(results.durationMs)}. ` +
      `Written to ${path.relative(ROOT, folder)}.`,
  );
  if (failures.length > 0) throw new Failed(`could not be measured:\n${failures.join('\n')}`);
}

/** One case, as soon as it is through. */
function tell(measured, { PEERS, targetRows }, tookMs) {
  const { title, load, medians, details = {}, work } = measured;
  console.log(`\n${style.bold(title)} ${style.dim(`(load ${load}, ${duration(tookMs)})`)}`);
  const line = (what, of) =>
    console.log(
      `  ${what.padEnd(48)} ${
        typeof of === 'number'
          ? of.toFixed(2)
          : `${of.median.toFixed(2)} ± ${of.mad.toFixed(2)}  (n = ${of.n}, p99 ${of.p99.toFixed(2)})`
      }`,
    );
  for (const peer of PEERS) {
    if (medians?.[peer] !== undefined) line(`${peer}, ms`, medians[peer]);
  }
  if (work !== undefined) line('ms', work);
  for (const [what, of] of Object.entries(details)) line(what, of);
  for (const [what, target, value, isMet] of targetRows([{ ...measured, title: '' }])) {
    const mark = isMet === 'yes' ? style.green('met   ') : style.yellow('missed');
    console.log(`  ${mark} ${what.replace(/^: /, '')} ${target}: ${value}`);
  }
}
