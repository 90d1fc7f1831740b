/** The proxy that makes network faults: each fault does what its name says. */

import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { atEnd } from './support/cleanup.mjs';
import { until, within } from './support/daemon.mjs';
import { startFaultProxy } from './support/fault-proxy.mjs';

/** An echo server and the proxy in front of it. */
async function setUp(t) {
  const sockets = new Set();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => socket.write(chunk));
    socket.on('end', () => socket.end('bye'));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const proxy = await startFaultProxy(t, server.address().port);
  return { proxy };
}

/** A client that records what it received and how its connection ended. */
function connect(t, proxy) {
  const socket = net.connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
  const client = { socket, got: '', ended: false, error: undefined };
  socket.on('data', (chunk) => {
    client.got += chunk;
  });
  socket.on('end', () => {
    client.ended = true;
  });
  socket.on('error', (error) => {
    client.error = error.code;
  });
  client.closed = new Promise((resolve) => socket.once('close', resolve));
  client.has = (text) => until(`the client has ${text.length} bytes`, () => client.got === text);
  client.hasEnded = () => until('the client sees the end', () => client.ended);
  atEnd(t, () => socket.destroy());
  return client;
}

/** Sends a text and waits for its echo. */
async function exchange(t, proxy, text) {
  const client = connect(t, proxy);
  client.socket.write(text);
  await client.has(text);
  return client;
}

test('without a fault everything passes, each end by itself, and is counted', async (t) => {
  const { proxy } = await setUp(t);
  const large = 'abcdefgh'.repeat(512 * 1024);
  const client = await exchange(t, proxy, large);
  client.socket.end();
  await client.has(`${large}bye`);
  await client.hasEnded();
  assert.deepEqual(proxy.bytes, { client: large.length, server: large.length + 3 });
  assert.deepEqual([proxy.connections, proxy.strikes], [1, 0]);
  await until('nothing is open', () => proxy.open === 0);
});

test('refuse: it resets open connections and listens again once healed', async (t) => {
  const { proxy } = await setUp(t);
  const open = await exchange(t, proxy, 'a');
  await proxy.set({ is: 'refuse' });
  await within(open.closed, 'the end of the open connection');
  assert.equal(open.error, 'ECONNRESET');
  const refused = connect(t, proxy);
  await within(refused.closed, 'the refusal');
  assert.equal(refused.error, 'ECONNREFUSED');
  await proxy.heal();
  await exchange(t, proxy, 'b');
});

test('silence: it accepts and never answers until healed', async (t) => {
  const { proxy } = await setUp(t);
  await proxy.set({ is: 'silence' });
  const client = connect(t, proxy);
  client.socket.write('hello');
  await until('the fault strikes', () => proxy.strikes === 1);
  assert.deepEqual([client.socket.readyState, client.got], ['open', '']);
  await proxy.heal();
  await within(client.closed, 'the end of the silent connection');
  await exchange(t, proxy, 'b');
});

/** What a client sees of each way to break. */
const BREAKS = {
  cut: async (client) => {
    await client.hasEnded();
    assert.equal(client.error, undefined);
  },
  reset: async (client) => {
    await within(client.closed, 'the reset');
    assert.equal(client.error, 'ECONNRESET');
  },
  stall: async (client, proxy) => {
    await until('the fault strikes', () => proxy.strikes === 1);
    client.socket.write('more');
    assert.deepEqual([client.ended, proxy.open], [false, 1]);
  },
};
for (const [is, assertBroken] of Object.entries(BREAKS)) {
  for (const from of ['client', 'server']) {
    test(`${is}: it strikes after so many bytes of the ${from}`, async (t) => {
      const { proxy } = await setUp(t);
      await proxy.set({ is, from, after: 3 });
      const client = connect(t, proxy);
      client.socket.write('hello');
      await assertBroken(client, proxy);
      assert.deepEqual([proxy.bytes[from], proxy.strikes], [3, 1]);
    });
  }
}

test('half-close: one direction ends, the other goes on', async (t) => {
  const { proxy } = await setUp(t);
  await proxy.set({ is: 'half-close', from: 'client', after: 3 });
  const client = connect(t, proxy);
  client.socket.write('hello');
  await client.has('helbye');
  await client.hasEnded();
});

test('dribble and delay lose nothing', async (t) => {
  const { proxy } = await setUp(t);
  for (const fault of [
    { is: 'dribble', bytes: 7, everyMs: 1 },
    { is: 'delay', ms: 5 },
  ]) {
    await proxy.set(fault);
    await exchange(t, proxy, 'abcdefgh'.repeat(16));
  }
  assert.equal(proxy.strikes, 2);
});

test('a fault on an open connection counts bytes from when it was set', async (t) => {
  const { proxy } = await setUp(t);
  const client = await exchange(t, proxy, 'hello');
  await proxy.set({ is: 'cut', from: 'client', after: 2 });
  client.socket.write('ab');
  await client.hasEnded();
  assert.equal(proxy.bytes.client, 7);
});

test('onceServerSent: the count begins after so many bytes of the server', async (t) => {
  const { proxy } = await setUp(t);
  await proxy.set({ is: 'cut', from: 'client', after: 2, onceServerSent: 4 });
  const client = await exchange(t, proxy, 'abcd');
  client.socket.write('efgh');
  await client.hasEnded();
  assert.equal(proxy.bytes.client, 6);
});

/** More bytes than the system's buffers for a connection hold. */
const FLOOD = 40_000_000;

/** Floods a reader that waits with a fault after so many bytes, ends the fault, and lets the reader read. */
async function floodAndHeal(t, after) {
  let reader;
  let got = 0;
  const server = net.createServer((socket) => {
    reader = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      got += chunk.length;
    });
    socket.pause();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => {
    reader?.destroy();
    server.close();
  });
  const proxy = await startFaultProxy(t, server.address().port);
  await proxy.set({ is: 'reset', from: 'client', after });
  const client = connect(t, proxy);
  client.socket.write(Buffer.alloc(FLOOD));
  let passed;
  while (passed === undefined || passed !== proxy.bytes.client) {
    passed = proxy.bytes.client;
    await setTimeout(100);
  }
  await proxy.heal();
  reader.resume();
  await until(
    'all bytes, or the end of the connection',
    () => got === FLOOD || client.socket.destroyed,
  );
  return passed;
}

test('the end of a fault while a reader waits loses nothing', async (t) => {
  const passed = await floodAndHeal(t, FLOOD);
  for (const before of [1, 100, 1_000, 10_000]) await floodAndHeal(t, passed - before);
});

test('drop ends open connections and serves new ones', async (t) => {
  const { proxy } = await setUp(t);
  const client = await exchange(t, proxy, 'a');
  proxy.drop('cut');
  await client.hasEnded();
  await exchange(t, proxy, 'b');
  assert.equal(proxy.connections, 2);
});
