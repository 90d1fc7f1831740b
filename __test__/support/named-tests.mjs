/** Finds tests that a document names. */

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from './child.mjs';

/**
 * Matches the beginning of a test of this name: in Rust a function with an attribute, in Node a call. It does not match a
 * skipped, ignored or commented-out test.
 */
function beginning(file, name) {
  const literal = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return file.endsWith('.rs')
    ? new RegExp(`^ *#\\[[a-z:]*test[^\\]]*\\]\\s+(async )?fn ${literal}\\(`, 'm')
    : new RegExp(`^ *(?:await )?(?:\\w+\\.)?test\\(\\s*(['"\`])${literal}\\1`, 'm');
}

/** Whether a file has a test of this name that runs. */
export function hasTest(file, name) {
  const place = path.join(ROOT, file);
  return existsSync(place) && beginning(file, name).test(readFileSync(place, 'utf8'));
}

/** The text of a file without a test, which ends with the line that is indented as its first one and closes it. */
export function withoutTest(text, file, name) {
  const found = beginning(file, name).exec(text);
  if (found === null) throw new Error(`${file} has no test '${name}'`);
  const [indent] = /^ */.exec(found[0]);
  const closing = `\n${indent}}${file.endsWith('.rs') ? '' : ');'}\n`;
  const end = text.indexOf(closing, found.index);
  if (end < 0) throw new Error(`the test '${name}' of ${file} does not end`);
  return text.slice(0, found.index) + text.slice(end + closing.length);
}

/** The invariants of ARCHITECTURE.md: each one's name, the tests below it, as file and name, and the number of rules. */
export function invariants({ prose }) {
  const start = prose.indexOf('## Invariants');
  const length = prose.slice(start + 1).findIndex((line) => line.startsWith('## '));
  const found = [];
  for (const line of prose.slice(start, start + 1 + length)) {
    const [, name] = /^- \*\*(.+?)\.?\*\*/.exec(line) ?? [];
    if (name !== undefined) found.push({ name, tests: [], rules: 0 });
    const [, file, title] = /^ {2}- `([\w./-]+)`: `(.+)`$/.exec(line) ?? [];
    if (file !== undefined) found.at(-1).tests.push([file, title]);
    if (line.startsWith('  - the compiler: ')) found.at(-1).rules += 1;
  }
  return found;
}
