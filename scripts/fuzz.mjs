/**
 * `npm run fuzz`: each fuzz target for a million executions, and random histories pushed to a real `git receive-pack`.
 * fuzz/README.md describes the targets and how to treat findings.
 *
 *     npm run fuzz -- url config            these targets
 *     npm run fuzz -- --executions 50000    fewer of them
 *     npm run fuzz -- --jobs 4              by as many processes at a time
 *     npm run fuzz -- --keep                keeps the minimised corpora in fuzz/corpus
 *     npm run fuzz -- --write               writes the results into the table of fuzz/README.md
 */

import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { readBetween, table, writeBetween } from './markdown.mjs';
import { capture, Failed, interruption, main, plain, ROOT, run, step } from './process.mjs';
import { circumstances } from './reliability.mjs';
import { shareBuilds } from './setup.mjs';

const FOLDER = path.join(ROOT, 'fuzz');
const README = path.join(FOLDER, 'README.md');
const MARKS = ['<!-- fuzzed:begin -->', '<!-- fuzzed:end -->'];

/** The longest inputs, in bytes, where the default is not worth its time. */
const MAX_LENGTH = { histories: 160, default: 1024 };

/**
 * To know what is compared with what helps to find words. Where most comparisons are those of a compressor, it takes half
 * of the time and finds nothing.
 */
const BUILD_OPTIONS = { histories: ['--no-trace-compares'] };

/** More inputs than these would not make the regression test find more. */
const MAX_CORPUS = 100;

/** The name that libFuzzer gives an input. */
const IS_MADE_UP = /^[0-9a-f]{40}$/;

/** Twenty pushes each. */
const HISTORIES = 1000;
const RECEIVE_PACK = 'histories to git receive-pack';

const HEAD = ['target', 'executions', 'per second', 'corpus', 'result', 'date'];
const RESULT = HEAD.indexOf('result');
const HOLDS = 'holds';

const isInterrupted = interruption();

await main(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      executions: { type: 'string', default: '1000000' },
      jobs: { type: 'string', default: '1' },
      seed: { type: 'string', default: '1' },
      keep: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
    },
  });
  if (!(Number(values.executions) > 0 && Number(values.jobs) > 0)) {
    throw new Failed('--executions and --jobs are numbers above 0');
  }
  if (capture('cargo', ['fuzz', '--version']) === undefined) {
    throw new Failed('cargo-fuzz is missing: cargo install --locked cargo-fuzz');
  }
  shareBuilds();
  const names = [...targets(), RECEIVE_PACK];
  const chosen = names.filter((name) => positionals.length === 0 || positionals.includes(name));
  if (chosen.length === 0) throw new Failed(`the targets are ${names.join(', ')}`);

  // A file system in memory where there is one: two of the targets write small files.
  const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const place = mkdtempSync(path.join(parent, 'git-push-daemon-fuzz-'));
  const context = { ...values, place, env: { ...process.env, TMPDIR: place } };
  const rows = [];
  try {
    await step('build', async () => {
      for (const name of chosen.filter((name) => name !== RECEIVE_PACK)) {
        const { ok } = await run('cargo', ['fuzz', 'build', ...buildOptions(name), name]);
        if (!ok) throw new Failed(`${name} did not build: see above.`);
      }
    });
    for (const name of chosen) {
      if (isInterrupted()) break;
      await step(name, async () => {
        const row = name === RECEIVE_PACK ? await pushes(context) : await fuzz(name, context);
        rows.push(row);
        return `${row[1]} executions, ${row[RESULT]}`;
      });
    }
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
  const report = table(HEAD, rows);
  console.log(`\n${report}`);
  if (values.write) {
    writeBetween(
      README,
      MARKS,
      `\n${table(HEAD, merged(names, rows))}\n\nLast: ${circumstances()}.\n`,
    );
  }
  const failed = rows.filter((row) => row[RESULT] !== HOLDS).map(([name]) => name);
  if (failed.length > 0)
    throw new Failed(`what was found is in fuzz/artifacts: ${failed.join(', ')}`);
});

/** Without a sanitizer, stable Rust can build them; our own code is safe Rust. */
function buildOptions(name) {
  return ['--sanitizer', 'none', ...(BUILD_OPTIONS[name] ?? [])];
}

function targets() {
  return readdirSync(path.join(FOLDER, 'fuzz_targets')).map((file) => path.parse(file).name);
}

/** Runs a target on a copy of its corpus; additions of the fuzzer are kept only with --keep. */
async function fuzz(name, { executions, jobs, seed, keep, place, env }) {
  const corpus = path.join(FOLDER, 'corpus', name);
  mkdirSync(corpus, { recursive: true });
  const startedAt = performance.now();
  const share = Math.ceil(Number(executions) / Number(jobs));
  const workers = Array.from({ length: Number(jobs) }, async (_, worker) => {
    const grown = path.join(place, `${name}-${worker}`);
    cpSync(corpus, grown, { recursive: true });
    const options = [
      `-runs=${share}`,
      `-seed=${Number(seed) + worker}`,
      `-max_len=${MAX_LENGTH[name] ?? MAX_LENGTH.default}`,
      '-rss_limit_mb=1024',
      '-timeout=30',
      '-print_final_stats=1',
      '-verbosity=0',
    ];
    const { ok, output } = await cargoFuzz(name, [grown], options, env);
    const executed = output.match(/stat::number_of_executed_units: +(\d+)/)?.[1];
    return { ok, grown, executed: Number(executed ?? Number.NaN) };
  });
  const ended = await Promise.all(workers);
  // Even a finding comes with statistics: without them the run was ended from outside.
  if (ended.some((worker) => Number.isNaN(worker.executed))) {
    throw new Failed(`${name} was ended before it was through, and nothing is written`);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const executed = ended.reduce((sum, worker) => sum + worker.executed, 0);
  const ok = ended.every((worker) => worker.ok);
  if (ok && keep) {
    const grown = ended.map((worker) => worker.grown);
    await minimise(name, grown, corpus, { place, env });
  }
  return [
    name,
    grouped(executed),
    grouped(Math.round(executed / seconds)),
    corpusSize(corpus),
    ok ? HOLDS : 'FAILED',
    today(),
  ];
}

/**
 * Keeps the inputs by hand, which have names, and as few others as reach the same code. The counts of how often they reach
 * it would make them hundreds.
 */
async function minimise(name, grown, corpus, { place, env }) {
  const least = path.join(place, `${name}-least`);
  mkdirSync(least);
  const named = readdirSync(corpus).filter((file) => !IS_MADE_UP.test(file));
  for (const file of named) cpSync(path.join(corpus, file), path.join(least, file));
  const options = ['-set_cover_merge=1', '-use_counters=0', '-verbosity=0'];
  const { ok } = await cargoFuzz(name, [least, ...grown, corpus], options, env);
  if (!ok) throw new Failed(`the corpus of ${name} could not be minimised`);
  const smallestFirst = readdirSync(least)
    .filter((file) => IS_MADE_UP.test(file))
    .map((file) => ({ file, size: statSync(path.join(least, file)).size }))
    .sort((a, b) => a.size - b.size)
    .map(({ file }) => file);
  rmSync(corpus, { recursive: true });
  mkdirSync(corpus);
  for (const file of [...named, ...smallestFirst].slice(0, MAX_CORPUS)) {
    cpSync(path.join(least, file), path.join(corpus, file));
  }
}

/** libFuzzer writes to its standard error. */
function cargoFuzz(name, folders, options, env) {
  const args = ['fuzz', 'run', ...buildOptions(name), name, ...folders, '--', ...options];
  return run('sh', ['-c', 'exec cargo "$@" 2>&1', 'cargo', ...args], { keep: true, env });
}

function corpusSize(folder) {
  const sizes = readdirSync(folder).map((file) => statSync(path.join(folder, file)).size);
  const kilobytes = sizes.reduce((sum, size) => sum + size, 0) / 1024;
  return `${sizes.length} files, ${kilobytes.toFixed(0)} KB`;
}

/** The same histories against the server itself, which checks every object. */
async function pushes({ env }) {
  const startedAt = performance.now();
  const { ok, output } = await run(
    'sh',
    ['-c', 'exec cargo test --release --test wire -- --nocapture random 2>&1'],
    { keep: true, env: { ...env, RANDOM_HISTORIES: String(HISTORIES) } },
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const count = Number(plain(output).match(/(\d+) pushes of random histories/)?.[1] ?? Number.NaN);
  const result = ok ? HOLDS : 'FAILED';
  return [RECEIVE_PACK, grouped(count), grouped(Math.round(count / seconds)), '', result, today()];
}

/** The rows in the order of the targets; for a target that was not run now, the row that is there. */
function merged(names, rows) {
  const cells = (line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  const before = readBetween(README, MARKS).split('\n').map(cells);
  return names.flatMap((name) => {
    const row = [...rows, ...before].find(([target]) => target === name);
    return row === undefined ? [] : [row];
  });
}

function today() {
  return new Date().toISOString().slice(0, 10);
}

function grouped(number) {
  return number.toLocaleString('en');
}
