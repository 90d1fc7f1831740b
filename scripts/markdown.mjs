/** Tables and marked sections that commands write into the documents. */

import { readFileSync, writeFileSync } from 'node:fs';

/** A table of Markdown. */
export function table(head, rows) {
  return [head, head.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
}

/** Cuts a file at its marks: up to the first, between them, and from the second. */
function cut(file, [begin, end]) {
  const text = readFileSync(file, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${file} lacks its marks: ${begin}, ${end}`);
  const start = from + begin.length;
  return [text.slice(0, start), text.slice(start, to), text.slice(to)];
}

/** The text of a file between two marks. */
export function readBetween(file, marks) {
  return cut(file, marks)[1];
}

/** Replaces the text of a file between two marks. */
export function writeBetween(file, marks, text) {
  const [before, , after] = cut(file, marks);
  writeFileSync(file, `${before}${text}${after}`);
}
