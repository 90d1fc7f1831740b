'use strict';

// The last events, in memory, for the page. Exact counts over time are the metrics' job.

/** Two thirds of a day, at one attempt a minute. */
const LIMIT = 1_000;

class History {
  #attempts = [];
  #now;
  /** When the present run of failures began; `null` if the last attempt succeeded. */
  failingSince = null;

  constructor(now = Date.now) {
    this.#now = now;
  }

  /** The last attempts, the oldest first. */
  get attempts() {
    return this.#attempts;
  }

  /** Whether older attempts were dropped. */
  get isFull() {
    return this.#attempts.length === LIMIT;
  }

  follow(daemon) {
    daemon.on('push', ({ commit, commits, durationMs }) => {
      this.#keep({ isPush: true, commit, commits, durationMs });
    });
    daemon.on('error', ({ commit, kind, attempt, err }) => {
      this.failingSince ??= this.#now();
      this.#keep({ isPush: false, commit, kind, attempt, message: err.message });
    });
    daemon.on('recovered', () => {
      this.failingSince = null;
    });
  }

  #keep(attempt) {
    if (this.isFull) this.#attempts.shift();
    this.#attempts.push({ at: this.#now(), ...attempt });
  }
}

module.exports = { History, LIMIT };
