/** Whether the test that a list names as the proof of something is there. */

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from './child.mjs';

/** Whether a file has a test of this name that runs: in Rust a function with an attribute, in Node a call. */
export function hasTest(file, name) {
  const place = path.join(ROOT, file);
  if (!existsSync(place)) return false;
  const literal = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const form = file.endsWith('.rs')
    ? new RegExp(`#\\[[a-z:]*test[^\\]]*\\]\\s+(async )?fn ${literal}\\(`)
    : new RegExp(`\\btest\\(\\s*(['"\`])${literal}\\1`);
  return form.test(readFileSync(place, 'utf8'));
}
