// Unusual answers of web servers are read as git reads them: git pushes to each of these servers first.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once as emitted } from 'node:events';
import net from 'node:net';
import { describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { collect, ENDLESS_BACKOFF, startInSync } from './support/daemon.mjs';
import { makePair } from './support/git.mjs';

const TYPE = 'application/x-git-receive-pack';

/** Heads of answers; `what` is `advertisement` or `result`. Each answer ends with its connection. */
const HEADS = {
  'of HTTP/1.0': (what) => `HTTP/1.0 200 OK\r\nContent-Type: ${TYPE}-${what}\r\n\r\n`,
  'without a reason': (what) => `HTTP/1.1 200\r\nContent-Type: ${TYPE}-${what}\r\n\r\n`,
  'whose lines end with a line feed': (what) =>
    `HTTP/1.1 200 OK\nContent-Type: ${TYPE}-${what}\n\n`,
  'with a folded header': (what) =>
    `HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nContent-Type: ${TYPE}-${what}\r\n\r\n`,
  'with a space before a colon': (what) =>
    `HTTP/1.1 200 OK\r\nX-A : one\r\nContent-Type: ${TYPE}-${what}\r\n\r\n`,
  'with what is no header': (what) =>
    `HTTP/1.1 200 OK\r\nX(A): one\r\nContent-Type: ${TYPE}-${what}\r\n\r\n`,
  'of two types, the last of which counts': (what) =>
    `HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Type: ${TYPE}-${what}\r\n\r\n`,
  'with spaces and letters of any case': (what) =>
    `HTTP/1.1 200 OK\r\nCONTENT-TYPE:\t ${TYPE.toUpperCase()}-${what} ;charset=x\r\n\r\n`,
  'after one of status 100': (what) =>
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: ${TYPE}-${what}\r\n\r\n`,
  'without a type for the report': (what) =>
    what === 'result'
      ? 'HTTP/1.1 200 OK\r\n\r\n'
      : `HTTP/1.1 200 OK\r\nContent-Type: ${TYPE}-${what}\r\n\r\n`,
  'of status 203': (what) => `HTTP/1.1 203 Other\r\nContent-Type: ${TYPE}-${what}\r\n\r\n`,
};

/** A web server in front of a repository whose answers have these heads. */
async function serve(t, remote, head) {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    let bytes = Buffer.alloc(0);
    let git;
    socket.on('data', (data) => {
      bytes = Buffer.concat([bytes, data]);
      const end = bytes.indexOf('\r\n\r\n');
      if (git || end < 0) return;
      const request = bytes.subarray(0, end).toString('latin1');
      const body = bytes.subarray(end + 4);
      const length = Number(request.match(/^content-length: *(\d+)/im)?.[1] ?? 0);
      if (body.length < length) return;
      const isGet = request.startsWith('GET ');
      const args = ['--stateless-rpc', ...(isGet ? ['--advertise-refs'] : []), remote.path];
      git = spawn('git', ['receive-pack', ...args], { stdio: ['pipe', 'pipe', 'ignore'] });
      socket.write(head(isGet ? 'advertisement' : 'result'));
      if (isGet) socket.write('001f# service=git-receive-pack\n0000');
      git.stdin.on('error', () => {});
      git.stdout.pipe(socket);
      git.stdin.end(body);
    });
  });
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  server.listen(0, '127.0.0.1');
  await emitted(server, 'listening');
  return `http://127.0.0.1:${server.address().port}/r.git`;
}

/** Pushes as git does. */
async function pushByGit(repo) {
  const git = spawn('git', ['push', '--quiet', 'origin', 'main'], {
    cwd: repo.path,
    stdio: 'ignore',
  });
  const [code] = await emitted(git, 'close');
  return code === 0;
}

describe('an answer', () => {
  for (const [name, head] of Object.entries(HEADS)) {
    test(`${name} is read`, async (t) => {
      const { repo, remote, options } = makePair(t);
      repo.git('remote', 'set-url', 'origin', await serve(t, remote, head));
      repo.commit();
      assert.ok(await pushByGit(repo), 'git reads it');
      const daemon = await startInSync(t, { ...options, backoff: ENDLESS_BACKOFF });
      const seen = collect(daemon);
      for (let pushes = 0; pushes < 2; pushes += 1) await daemon.waitForPush(repo.commit());
      assert.equal(remote.tip(), repo.tip());
      assert.deepEqual(seen.of('error'), []);
    });
  }
});
