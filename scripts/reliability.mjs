/** The sections of RELIABILITY.md that commands write themselves, each between two markers. */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import path from 'node:path';

import { ROOT } from './process.mjs';

const FILE = path.join(ROOT, 'RELIABILITY.md');

/** Puts text between the markers of a section; where the file has no such section, at its end. */
export function writeSection(name, text) {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const section = `${begin}\n${text.trim()}\n${end}`;
  const old = existsSync(FILE) ? readFileSync(FILE, 'utf8') : '# Reliability\n';
  const from = old.indexOf(begin);
  const to = old.indexOf(end);
  const written =
    from >= 0 && to > from
      ? `${old.slice(0, from)}${section}${old.slice(to + end.length)}`
      : `${old.trimEnd()}\n\n${section}\n`;
  writeFileSync(FILE, written);
}

/** When, on what and how loaded a machine, and with which programs. */
export function circumstances() {
  const git = execFileSync('git', ['--version'], { encoding: 'utf8' }).trim();
  const date = new Date().toISOString().slice(0, 10);
  const load = loadavg().map((average) => average.toFixed(1));
  return `${date}, Node ${process.version}, ${git}, ${cpus().length} CPUs, load average ${load.join(', ')} at the end`;
}

/** A table of Markdown. */
export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
