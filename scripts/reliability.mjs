/** The sections of docs/reliability.md that commands write themselves, each between two markers. */

import { execFileSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import path from 'node:path';

import { writeBetween } from './markdown.mjs';
import { ROOT } from './process.mjs';

const FILE = path.join(ROOT, 'docs', 'reliability.md');

/** Puts text between the markers of a section. */
export function writeSection(name, text) {
  writeBetween(FILE, [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`], `\n${text.trim()}\n`);
}

/** When, on what and how loaded a machine, and with which programs. */
export function circumstances() {
  const git = execFileSync('git', ['--version'], { encoding: 'utf8' }).trim();
  const date = new Date().toISOString().slice(0, 10);
  const load = loadavg().map((average) => average.toFixed(1));
  return `${date}, Node ${process.version}, ${git}, ${cpus().length} CPUs, load average ${load.join(', ')} at the end`;
}
