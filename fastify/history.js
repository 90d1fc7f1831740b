'use strict';

// What happened lately, for a person to look at: the last events, in memory. It counts nothing exactly
// over time; that is what metrics are for.

/** At an attempt a minute, two thirds of a day. */
const LIMIT = 1_000;

class History {
  #attempts = [];
  #now;
  /** When the attempts began to fail that fail still; `null` while they do not. */
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
