/** The demo's voice: numbered steps, lines with the time since the start, and checks that must hold. */

import { duration, Failed, style } from '../process.mjs';

/** The width of a bar, in characters. */
const BAR = 16;

export class Narrator {
  #startedAt = performance.now();
  #hasBar = false;
  #steps = 0;

  /** Begins a step. */
  step(title) {
    this.#steps += 1;
    console.log(`\n${style.bold(`${this.#steps}  ${title}`)}`);
  }

  /** Prints a line of the story. */
  say(text) {
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(2);
    console.log(`${style.dim(`${seconds.padStart(8)} s`)}  ${text}`);
  }

  /** Shows how far a push has come: in a terminal in place of the bar before, else as a line of its own. */
  bar(progress) {
    const { phase, objects, totalObjects, bytes, bytesPerSecond, remainingMs } = progress;
    const share = totalObjects === null ? 0 : objects / Math.max(totalObjects, 1);
    const full = Math.floor(share * BAR);
    const parts = [
      `${style.cyan('█'.repeat(full))}${style.dim('░'.repeat(BAR - full))}`,
      phase,
      totalObjects === null ? `${objects} objects` : `${Math.floor(100 * share)} %`,
      bytesPerSecond === null ? size(bytes) : `${size(bytes)}, ${size(bytesPerSecond)}/s`,
      remainingMs === null || phase === 'server' ? null : `${duration(remainingMs)} left`,
    ];
    if (this.#hasBar && process.stdout.isTTY) process.stdout.write('\u001b[1A\u001b[2K');
    this.#hasBar = true;
    this.say(parts.filter(Boolean).join('  '));
  }

  /** The next bar is another push's. */
  endBar() {
    this.#hasBar = false;
  }

  /** Shows a line of the API's own log, with the fields that matter here. */
  log(entry, ...fields) {
    const shown = fields
      .filter((field) => entry[field] !== undefined)
      .map((field) => `${field}=${brief(entry[field])}`);
    const paint = entry.level >= 50 ? style.red : entry.level >= 40 ? style.yellow : style.cyan;
    this.say(`${style.dim('api log')}  ${paint(entry.msg.split(/[.:] /)[0])}  ${shown.join('  ')}`);
  }

  /** Checks a claim aloud. */
  check(holds, claim, evidence) {
    demand(holds, claim, evidence);
    console.log(`          ${style.green('✔')}  ${claim}`);
  }

  /** Reports that a step cannot be shown here, and why. */
  skip(reason) {
    console.log(`          ${style.yellow('–')}  skipped: ${reason}`);
  }

  end(text) {
    console.log(`\n${style.green(text)} ${style.dim(this.elapsed())}`);
  }

  elapsed() {
    return duration(performance.now() - this.#startedAt);
  }
}

/** Ends the demo if the claim does not hold; `evidence` is shown with the error. */
export function demand(holds, claim, evidence) {
  if (holds) return;
  const seen = evidence === undefined ? '' : `\nSeen instead: ${JSON.stringify(evidence, null, 2)}`;
  throw new Failed(`This does not hold: ${claim}.${seen}`);
}

/** `812 bytes`, `3.4 KiB`, `12.0 MiB`. */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  if (bytes < 1024 ** 2) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

/** Shortens object ids. */
export function brief(value) {
  return String(value).replace(/\b([0-9a-f]{7})[0-9a-f]{33}\b/g, '$1');
}
