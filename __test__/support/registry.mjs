/** An npm registry on loopback that supports `npm publish`, `npm view` and `npm install`. */

import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

import { atEnd } from './cleanup.mjs';

/** Starts one that ends with the test. */
export async function startRegistry(t) {
  const registry = new Registry();
  await registry.listen();
  atEnd(t, () => registry.close());
  return registry;
}

class Registry {
  /** What was published, in order: `name@version`. */
  published = [];
  #packages = new Map();
  #tarballs = new Map();
  #server = createServer((request, response) => {
    this.#answer(request).then(
      ([status, body]) => {
        response.statusCode = status;
        response.end(body instanceof Buffer ? body : JSON.stringify(body));
      },
      (error) => {
        response.statusCode = 500;
        response.end(JSON.stringify({ error: String(error) }));
      },
    );
  });

  listen() {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => {
        this.url = `http://127.0.0.1:${this.#server.address().port}/`;
        resolve();
      });
    });
  }

  close() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request) {
    const name = decodeURIComponent(new URL(request.url, this.url).pathname.slice(1));
    if (request.method === 'PUT') return this.#publish(await json(request));
    const tarball = this.#tarballs.get(name);
    if (tarball !== undefined) return [200, tarball];
    const found = this.#packages.get(name);
    return found === undefined ? [404, { error: 'not found' }] : [200, found];
  }

  #publish({ name, versions, 'dist-tags': tags, _attachments: attachments }) {
    const [[version, manifest]] = Object.entries(versions);
    const known = this.#packages.get(name) ?? { name, versions: {}, 'dist-tags': {} };
    if (known.versions[version] !== undefined) return [403, { error: 'it is published already' }];
    for (const [file, { data }] of Object.entries(attachments)) {
      this.#tarballs.set(`files/${file}`, Buffer.from(data, 'base64'));
      manifest.dist.tarball = `${this.url}files/${file}`;
    }
    known.versions[version] = manifest;
    Object.assign(known['dist-tags'], tags);
    this.#packages.set(name, known);
    this.published.push(`${name}@${version}`);
    return [201, { ok: true }];
  }
}
