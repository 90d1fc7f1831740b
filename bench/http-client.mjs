/**
 * The clients of `bench/status.mjs`, in a process of their own so that they cost the measured one nothing but
 * their requests: `node http-client.mjs <port> <path> <requests a second>`. It asks over kept connections, each
 * with one request at a time, until its standard input ends; then it prints what it got, as JSON.
 */

import net from 'node:net';

const CONNECTIONS = 32;
const TICK_MS = 1;
const OK = 'HTTP/1.1 200 ';
const END_OF_HEAD = '\r\n\r\n';

const [port, path, perSecond] = process.argv.slice(2);
const request = `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`;
const latencies = [];
const idle = [];
let wrong = 0;

const startedAt = performance.now();
let due = 0;
for (let opened = 0; opened < CONNECTIONS; opened += 1) connect();

setInterval(() => {
  const now = performance.now();
  due = Math.min(due + CONNECTIONS, ((now - startedAt) * perSecond) / 1_000);
  while (latencies.length + CONNECTIONS - idle.length < due && idle.length > 0) {
    const connection = idle.pop();
    connection.askedAt = now;
    connection.socket.write(request);
  }
}, TICK_MS);

process.stdin.resume();
process.stdin.once('end', () => {
  const seconds = (performance.now() - startedAt) / 1_000;
  latencies.sort((a, b) => a - b);
  const p99Ms = latencies[Math.floor(latencies.length * 0.99)] ?? null;
  console.log(JSON.stringify({ perSecond: latencies.length / seconds, p99Ms, wrong }));
  process.exit();
});

function connect() {
  const socket = net.connect(Number(port), '127.0.0.1');
  socket.setNoDelay(true);
  socket.setEncoding('latin1');
  const connection = { socket, askedAt: 0 };
  let text = '';
  socket.once('connect', () => idle.push(connection));
  socket.on('data', (chunk) => {
    text += chunk;
    const head = text.indexOf(END_OF_HEAD);
    if (head === -1) return;
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1]);
    if (text.length < head + END_OF_HEAD.length + length) return;
    if (!text.startsWith(OK)) wrong += 1;
    text = '';
    latencies.push(performance.now() - connection.askedAt);
    idle.push(connection);
  });
}
