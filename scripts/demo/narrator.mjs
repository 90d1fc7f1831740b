/** The demo's voice: numbered steps, lines with the time since the start, and checks that must hold. */

import { duration, Failed, style } from '../process.mjs';

export class Narrator {
  #startedAt = performance.now();
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

/** Shortens object ids. */
export function brief(value) {
  return String(value).replace(/\b([0-9a-f]{7})[0-9a-f]{33}\b/g, '$1');
}
