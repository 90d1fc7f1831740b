/**
 * A TCP proxy in front of a real server that breaks connections as networks do. Its fault can change while it runs, and
 * it counts strikes, so that a test can check that its fault occurred.
 */

import net from 'node:net';

import { atEnd } from './cleanup.mjs';

/** How long a connection that was ended properly waits for the other side to end it, too. */
const LINGER_MS = 2_000;
/** The time between the last bytes and a reset. */
const ARRIVAL_MS = 10;

/**
 * The faults. `after` bytes of `from` still pass on each connection, counted from when the fault was set. With
 * `onceServerSent` the count begins after the server has sent that many bytes; once the fault has struck, it begins at
 * the start of each further connection, since some clients reconnect at once.
 *
 * @typedef {{is: 'refuse'}
 *   | {is: 'silence'}
 *   | {is: 'cut' | 'reset' | 'stall' | 'half-close', from: 'client' | 'server', after: number, onceServerSent?: number}
 *   | {is: 'dribble', bytes: number, everyMs: number}
 *   | {is: 'delay', ms: number}} Fault
 * `refuse` stops listening and resets open connections. `silence` accepts connections and never answers. `cut` ends both
 * directions properly (FIN), `reset` does not (RST), `stall` passes nothing more, and `half-close` ends only the direction
 * of `from`. `dribble` and `delay` lose nothing.
 */

/** One direction of a connection, with its queue of bytes. */
class Direction {
  #waiting = [];
  #isBusy = false;

  constructor(link, from, source, target) {
    this.link = link;
    this.from = from;
    this.source = source;
    this.target = target;
    this.passed = 0;
    this.isCut = false;
    source.on('data', (chunk) => this.#take(chunk));
    source.on('end', () => this.#take(null));
  }

  #take(chunk) {
    if (this.link.isGone) return;
    this.#waiting.push(chunk);
    this.source.pause();
    if (!this.#isBusy) this.#work();
  }

  /** Writes the queue piece by piece, subject to the current fault. */
  async #work() {
    this.#isBusy = true;
    while (this.#waiting.length > 0 && !this.link.isGone && !this.link.isStalled) {
      const chunk = this.#waiting.shift();
      if (chunk === null) {
        this.target.end();
        continue;
      }
      const fault = this.link.proxy.fault;
      if (fault?.is === 'silence') {
        this.link.strike();
        this.link.isStalled = true;
      } else if (fault?.is === 'delay') {
        this.link.strike();
        await pause(fault.ms);
        await this.#write(chunk);
      } else if (fault?.is === 'dribble') {
        this.link.strike();
        if (chunk.length > fault.bytes) this.#waiting.unshift(chunk.subarray(fault.bytes));
        await this.#write(chunk.subarray(0, fault.bytes));
        await pause(fault.everyMs);
      } else {
        const allowed = this.link.allowance(this.from);
        if (chunk.length > allowed) this.#waiting.unshift(chunk.subarray(allowed));
        await this.#write(chunk.length > allowed ? chunk.subarray(0, allowed) : chunk);
        // The write may have waited for its reader, and the fault may have ended or changed meanwhile.
        const isStillSo = this.link.proxy.fault === fault;
        if (isStillSo && chunk.length >= allowed) this.link.break(this);
      }
    }
    this.#isBusy = false;
    if (!this.link.isGone && !this.link.isStalled) this.source.resume();
  }

  #write(chunk) {
    if (this.isCut || chunk.length === 0 || this.target.destroyed) return undefined;
    this.passed += chunk.length;
    this.link.proxy.bytes[this.from] += chunk.length;
    if (this.target.write(chunk)) return undefined;
    return new Promise((resolve) => {
      this.target.once('drain', resolve);
      this.target.once('close', resolve);
    });
  }
}

/** One connection through the proxy. */
class Link {
  isGone = false;
  isStalled = false;
  #hasStruck = false;

  constructor(proxy, client, server) {
    this.proxy = proxy;
    this.sockets = [client, server];
    this.client = new Direction(this, 'client', client, server);
    this.server = new Direction(this, 'server', server, client);
    this.rebase();
    for (const socket of this.sockets) {
      socket.on('error', () => this.end('reset'));
      socket.on('close', () => {
        if (this.sockets.every(({ destroyed }) => destroyed)) this.#forget();
      });
    }
  }

  /** Restarts the count of bytes for a new fault. */
  rebase() {
    this.#hasStruck = false;
    this.counted = undefined;
    this.base = { client: this.client.passed, server: this.server.passed };
    const { fault } = this.proxy;
    // A fault of no bytes need not wait for any.
    if (
      fault?.after === 0 &&
      fault.onceServerSent === undefined &&
      this.allowance(fault.from) === 0
    ) {
      this.break(this[fault.from]);
    }
  }

  /** How many more bytes `from` may send. */
  allowance(from) {
    const { fault } = this.proxy;
    if (fault?.after === undefined || fault.from !== from || this[from].isCut) return Infinity;
    if (fault.onceServerSent !== undefined && this.proxy.struck !== fault) {
      if (this.server.passed - this.base.server < fault.onceServerSent) return Infinity;
      this.counted ??= this[from].passed;
      return Math.max(0, fault.after - (this[from].passed - this.counted));
    }
    return Math.max(0, fault.after - (this[from].passed - this.base[from]));
  }

  strike() {
    if (!this.#hasStruck) this.proxy.strikes += 1;
    this.proxy.struck = this.proxy.fault;
    this.#hasStruck = true;
  }

  break(direction) {
    const { fault } = this.proxy;
    this.strike();
    if (fault.is === 'stall') {
      this.isStalled = true;
      for (const socket of this.sockets) socket.pause();
    } else if (fault.is === 'half-close') {
      direction.isCut = true;
      direction.target.end();
    } else if (fault.is === 'reset') {
      // Readers treat bytes followed by a reset differently: leave them time to read the bytes.
      this.isStalled = true;
      setTimeout(() => this.end('reset'), ARRIVAL_MS);
    } else {
      this.end('cut');
    }
  }

  /** Ends it: `cut` after what is written, `reset` at once. */
  end(how) {
    if (this.isGone) return;
    this.isGone = true;
    for (const socket of this.sockets) {
      if (how === 'cut') {
        // Keep reading: the system resets a connection that is closed with unread bytes.
        socket.resume();
        socket.end();
        setTimeout(() => socket.destroy(), LINGER_MS).unref();
      } else {
        reset(socket);
      }
    }
  }

  #forget() {
    this.isGone = true;
    this.proxy.links.delete(this);
  }
}

/**
 * Sends an RST and nothing else. `resetAndDestroy()` alone would end a writable socket properly first (FIN), and its
 * peer would see that end. Where it has ended already there is nothing to reset.
 */
function reset(socket) {
  socket.resetAndClosing = !socket.connecting && !socket.writableEnded;
  socket.destroy();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** See {@link startFaultProxy}. */
class FaultProxy {
  #server;
  #target;
  /** @type {Fault | null} */
  fault = null;
  links = new Set();
  /** Connections that were accepted. */
  connections = 0;
  /** Bytes that passed, by sender. */
  bytes = { client: 0, server: 0 };
  /** On how many connections a fault has struck. */
  strikes = 0;
  /** The fault that struck last. */
  struck = null;

  constructor(target) {
    this.#target = target;
  }

  async listen(port = 0) {
    const server = net.createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
    await new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    this.#server = server;
    this.port = server.address().port;
  }

  #accept(client) {
    this.connections += 1;
    client.setNoDelay(true);
    const server = net.connect({ port: this.#target, host: '127.0.0.1', allowHalfOpen: true });
    server.setNoDelay(true);
    this.links.add(new Link(this, client, server));
  }

  /** Connections that are open now. */
  get open() {
    return this.links.size;
  }

  /** Leads new connections to another port. */
  leadTo(port) {
    this.#target = port;
  }

  /** Sets the fault, for open connections as well; resolves once it is effective. @param {Fault} fault */
  async set(fault) {
    await this.#reopen();
    this.fault = fault;
    if (fault.is === 'refuse') {
      this.strikes += 1;
      this.drop('reset');
      await this.#shut();
    }
    for (const link of this.links) link.rebase();
  }

  /** Ends the fault. A stalled connection is reset, as its bytes are lost. */
  async heal() {
    this.fault = null;
    for (const link of this.links) if (link.isStalled) link.end('reset');
    await this.#reopen();
  }

  /** Ends open connections and serves new ones. @param {'cut' | 'reset'} how */
  drop(how) {
    for (const link of [...this.links]) link.end(how);
  }

  async #reopen() {
    if (!this.#server) await this.listen(this.port);
  }

  /** Stops listening; open connections stay. */
  #shut() {
    const server = this.#server;
    this.#server = undefined;
    // Its callback waits for the connections, too; the port is free at once.
    server?.close();
    return new Promise((resolve) => setImmediate(resolve));
  }

  async close() {
    this.drop('reset');
    await this.#shut();
  }
}

/**
 * Starts one on a free port of the loopback interface, in front of a port of this machine.
 *
 * @param {object} t the test
 * @param {number} target the port of the real server
 */
export async function startFaultProxy(t, target) {
  const proxy = new FaultProxy(target);
  await proxy.listen();
  atEnd(t, () => proxy.close());
  return proxy;
}
