/** The proxy that the faults of networks come from: each must be the fault that it is called. */

import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { until, within } from './support/daemon.mjs';
import { startFaultProxy } from './support/fault-proxy.mjs';

/** A server that answers what it is told, and the proxy in front of it. */
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
  return { proxy, sockets };
}

/** A client that remembers what it got and how its connection ended. */
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

describe('without a fault', () => {
  test('everything passes, each end by itself, and is counted', async (t) => {
    const { proxy } = await setUp(t);
    const client = connect(t, proxy);
    client.socket.write('hello');
    await client.has('hello');
    client.socket.end();
    await client.has('hellobye');
    await client.hasEnded();
    assert.equal(proxy.connections, 1);
    assert.deepEqual(proxy.bytes, { client: 5, server: 8 });
    assert.equal(proxy.strikes, 0);
    await until('nothing is open', () => proxy.open === 0);
  });

  test('several megabytes pass unchanged', async (t) => {
    const { proxy } = await setUp(t);
    const client = connect(t, proxy);
    const text = 'abcdefgh'.repeat(512 * 1024);
    client.socket.write(text);
    await client.has(text);
  });
});

describe('with a fault', () => {
  test('refuse: what is open is reset, nobody listens, and a healed one takes the same port', async (t) => {
    const { proxy } = await setUp(t);
    const open = connect(t, proxy);
    open.socket.write('a');
    await open.has('a');
    await proxy.set({ is: 'refuse' });
    await within(open.closed, 'the end of what was open');
    assert.equal(open.error, 'ECONNRESET');
    const refused = connect(t, proxy);
    await within(refused.closed, 'the refusal');
    assert.equal(refused.error, 'ECONNREFUSED');
    await proxy.heal();
    const served = connect(t, proxy);
    served.socket.write('b');
    await served.has('b');
  });

  test('silence: it accepts and never answers, until it is healed', async (t) => {
    const { proxy } = await setUp(t);
    await proxy.set({ is: 'silence' });
    const client = connect(t, proxy);
    client.socket.write('hello');
    await until('the fault strikes', () => proxy.strikes === 1);
    assert.equal(client.socket.readyState, 'open');
    assert.equal(client.got, '');
    assert.deepEqual(proxy.bytes, { client: 0, server: 0 });
    await proxy.heal();
    await within(client.closed, 'the end of what was lost');
    const served = connect(t, proxy);
    served.socket.write('b');
    await served.has('b');
  });

  for (const from of ['client', 'server']) {
    test(`cut: after so many bytes of the ${from} both sides see an end`, async (t) => {
      const { proxy, sockets } = await setUp(t);
      await proxy.set({ is: 'cut', from, after: 3 });
      const client = connect(t, proxy);
      client.socket.write('hello');
      await client.hasEnded();
      assert.equal(client.error, undefined);
      assert.equal(proxy.bytes[from], 3);
      if (from === 'server') assert.equal(client.got, 'hel');
      await until('the server sees it', () => [...sockets].every((socket) => socket.readableEnded));
      assert.equal(proxy.strikes, 1);
    });

    test(`reset: after so many bytes of the ${from} the connection is reset`, async (t) => {
      const { proxy } = await setUp(t);
      await proxy.set({ is: 'reset', from, after: 3 });
      const client = connect(t, proxy);
      client.socket.write('hello');
      await within(client.closed, 'the reset');
      assert.equal(client.error, 'ECONNRESET');
      assert.equal(proxy.bytes[from], 3);
    });

    test(`stall: after so many bytes of the ${from} nothing moves`, async (t) => {
      const { proxy } = await setUp(t);
      await proxy.set({ is: 'stall', from, after: 3 });
      const client = connect(t, proxy);
      client.socket.write('hello');
      await until('the fault strikes', () => proxy.strikes === 1);
      client.socket.write('more');
      assert.equal(proxy.bytes[from], 3);
      assert.equal(client.ended, false);
      assert.equal(proxy.open, 1);
    });
  }

  test('half-close: one direction ends, the other goes on', async (t) => {
    const { proxy } = await setUp(t);
    await proxy.set({ is: 'half-close', from: 'client', after: 3 });
    const client = connect(t, proxy);
    client.socket.write('hello');
    await client.has('helbye');
    await client.hasEnded();
    assert.equal(proxy.bytes.client, 3);
  });

  test('dribble and delay lose nothing', async (t) => {
    const { proxy } = await setUp(t);
    for (const fault of [
      { is: 'dribble', bytes: 7, everyMs: 1 },
      { is: 'delay', ms: 5 },
    ]) {
      await proxy.set(fault);
      const client = connect(t, proxy);
      const text = 'abcdefgh'.repeat(16);
      client.socket.end(text);
      await client.has(`${text}bye`);
    }
    assert.equal(proxy.strikes, 2);
  });

  test('a fault of no bytes strikes what is open at once, and counts from when it was set', async (t) => {
    const { proxy } = await setUp(t);
    const client = connect(t, proxy);
    client.socket.write('hello');
    await client.has('hello');
    await proxy.set({ is: 'cut', from: 'client', after: 2 });
    client.socket.write('ab');
    await client.hasEnded();
    assert.equal(proxy.bytes.client, 7);
    await proxy.heal();
    const other = connect(t, proxy);
    other.socket.write('x');
    await other.has('x');
    await proxy.set({ is: 'reset', from: 'server', after: 0 });
    await within(other.closed, 'the reset');
    assert.equal(other.error, 'ECONNRESET');
  });

  test('onceServerSent: the counting waits for the server', async (t) => {
    const { proxy } = await setUp(t);
    await proxy.set({ is: 'cut', from: 'client', after: 2, onceServerSent: 4 });
    const client = connect(t, proxy);
    client.socket.write('abcd');
    await client.has('abcd');
    client.socket.write('efgh');
    await client.hasEnded();
    assert.equal(proxy.bytes.client, 6);
  });

  test('drop ends what is open and serves what comes', async (t) => {
    const { proxy } = await setUp(t);
    const client = connect(t, proxy);
    client.socket.write('a');
    await client.has('a');
    proxy.drop('cut');
    await client.hasEnded();
    const next = connect(t, proxy);
    next.socket.write('b');
    await next.has('b');
    assert.equal(proxy.connections, 2);
  });
});
