/**
 * A TCP proxy in front of a real server that breaks connections in the ways networks do. What it does can be changed
 * while it runs, and it counts, so that a test can tell whether its fault has struck.
 */

import net from 'node:net';

import { atEnd } from './cleanup.mjs';

/** How long a connection that was ended properly waits for the other side to end it, too. */
const LINGER_MS = 2_000;
/** The time between the last bytes and a reset. */
const ARRIVAL_MS = 10;

/**
 * What can be wrong. `after` counts the bytes that `from` has sent since the fault was set, on each connection for
 * itself; so many still pass. With `onceServerSent` the counting begins when the server has sent that much.
 *
 * @typedef {{is: 'refuse'}
 *   | {is: 'silence'}
 *   | {is: 'cut' | 'reset' | 'stall' | 'half-close', from: 'client' | 'server', after: number, onceServerSent?: number}
 *   | {is: 'dribble', bytes: number, everyMs: number}
 *   | {is: 'delay', ms: number}} Fault
 * `refuse`: nobody listens, and what was open is reset. `silence`: connections are accepted, and never answered.
 * `cut` ends both directions properly (FIN), `reset` does not (RST), `stall` lets nothing through any more, and
 * `half-close` ends the direction of `from` alone. `dribble` and `delay` lose nothing.
 */

/** One direction of a connection: what waits to be written, and how. */
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

  /** Writes what waits, piece by piece, as the fault of each moment has it. */
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
        await this.#write(chunk.length > allowed ? chunk.subarray(0, allowed) : chunk);
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

  /** A fault was set: what passed before does not count for it. */
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
    if (fault.onceServerSent !== undefined) {
      if (this.server.passed - this.base.server < fault.onceServerSent) return Infinity;
      this.counted ??= this[from].passed;
      return Math.max(0, fault.after - (this[from].passed - this.counted));
    }
    return Math.max(0, fault.after - (this[from].passed - this.base[from]));
  }

  strike() {
    if (!this.#hasStruck) this.proxy.strikes += 1;
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
      // Readers differ in what they make of bytes and a reset at once: the bytes get time to be read.
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
        // What arrives still has to be read: the system resets a connection that is closed with bytes unread.
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
  /** What passed, by who sent it. */
  bytes = { client: 0, server: 0 };
  /** On how many connections a fault has struck. */
  strikes = 0;

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

  /** Makes this go wrong from now on, on what is open as well; resolves once it is so. @param {Fault} fault */
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

  /** Lets everything through again. What a fault holds up stays lost, as on a network: its connection is reset. */
  async heal() {
    this.fault = null;
    for (const link of this.links) if (link.isStalled) link.end('reset');
    await this.#reopen();
  }

  /** Ends what is open now; new connections are served. @param {'cut' | 'reset'} how */
  drop(how) {
    for (const link of [...this.links]) link.end(how);
  }

  async #reopen() {
    if (!this.#server) await this.listen(this.port);
  }

  /** Stops listening. What is open stays. */
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
