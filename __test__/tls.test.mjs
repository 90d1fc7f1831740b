// Messages about certificates, and about TLS that only the git command supports. tests/https/tls.rs covers the kinds.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import tls from 'node:tls';

import { atEnd } from './support/cleanup.mjs';
import { collect, ENDLESS_BACKOFF, once, start } from './support/daemon.mjs';
import { makeDirectory, makePair } from './support/git.mjs';
import { assertArrived } from './support/remote.mjs';
import { missing, startApache } from './support/servers.mjs';

const NO_NETWORK = /DNS|network policy/;

/** Faulty certificates: how each is made, and the message about it. */
const FAULTS = [
  ['expired', { days: -1 }, /has expired/],
  ['for a different host name', { name: 'elsewhere.invalid' }, /different host name/],
  ['of an unknown authority', { trusts: 'stranger' }, /authority/],
];

/** A server that presents a certificate and nothing else. */
async function impostor(t, { days = 2, name = 'localhost', trusts = 'ca' }) {
  const directory = makeDirectory(t);
  const script = `set -e
authority() { openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -addext keyUsage=keyCertSign -keyout $1.key -out $1.pem; }
authority ca
authority stranger
openssl req -new -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key -out csr
printf 'subjectAltName=DNS:${name}\\n' >ext
openssl x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -days ${days} -extfile ext -out cert`;
  execFileSync('sh', ['-c', script], { cwd: directory, stdio: 'pipe' });
  const read = (file) => readFileSync(path.join(directory, file));
  const server = tls.createServer({ key: read('key'), cert: read('cert') });
  server.on('tlsClientError', () => {});
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => server.close());
  return {
    url: `https://localhost:${server.address().port}/r.git`,
    ca: path.join(directory, `${trusts}.pem`),
  };
}

describe('a certificate', { skip: missing.https }, () => {
  for (const [what, made, words] of FAULTS) {
    test(`${what} is named in the message and the hint`, async (t) => {
      const { repo, options } = makePair(t);
      const { url, ca } = await impostor(t, made);
      repo.git('config', 'http.sslCAInfo', ca);
      const daemon = start(t, { ...options, remote: url, backoff: ENDLESS_BACKOFF });
      const { err, hint, kind } = await once(daemon, 'error');
      assert.equal(kind, 'network');
      assert.match(err.message, words);
      assert.match(hint, words);
      assert.doesNotMatch(hint, NO_NETWORK);
      assert.equal(err.hint, hint);
      assert.equal(daemon.status().lastError.hint, hint);
    });
  }
});

test('a server that only the git command can connect to receives pushes without an error, and the status says why', {
  skip: missing.https,
}, async (t) => {
  const { repo, remote, options } = makePair(t);
  const server = await startApache(t, path.dirname(remote.path), {
    settings: [
      'SSLProtocol TLSv1.2',
      'SSLCipherSuite ECDHE-ECDSA-AES128-SHA',
      'H2ModernTLSOnly off',
    ],
  });
  server.admit(remote.path);
  repo.git('config', 'http.sslCAInfo', server.ca);
  const url = server.url(path.basename(remote.path));
  const daemon = start(t, { ...options, remote: url, backoff: ENDLESS_BACKOFF });
  const seen = collect(daemon);
  for (let pushed = 0; pushed < 2; pushed += 1) {
    repo.commit();
    await daemon.flush();
    assertArrived(remote, repo);
  }
  assert.deepEqual(
    seen.names().filter((name) => name !== 'push'),
    [],
  );
  const { transport, transportReason, totals } = daemon.status();
  assert.equal(transport, 'git-cli');
  assert.match(transportReason, /TLS/);
  assert.equal(totals.failures, 0);
});
