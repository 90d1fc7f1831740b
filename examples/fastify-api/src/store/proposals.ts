/** The records of the API: talk proposals, one TOML file each. */

import { parse, stringify } from 'smol-toml';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';

import type { Store, Transacted } from './store.js';

export const Proposal = Type.Object(
  {
    title: Type.String({ minLength: 1, maxLength: 200 }),
    speaker: Type.String({ minLength: 1, maxLength: 200 }),
    abstract: Type.String({ maxLength: 10_000, default: '' }),
  },
  { additionalProperties: false },
);
export type Proposal = Static<typeof Proposal>;

const FOLDER = 'proposals';
const EXTENSION = '.toml';

export class Proposals {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async list(): Promise<string[]> {
    const files = await this.#store.list(FOLDER);
    return files
      .filter((file) => file.endsWith(EXTENSION))
      .map((file) => file.slice(0, -EXTENSION.length));
  }

  async get(slug: string): Promise<Proposal | null> {
    const text = await this.#store.read(pathOf(slug));
    return text === null ? null : Value.Parse(Proposal, Value.Default(Proposal, parse(text)));
  }

  /** The value tells whether the proposal is new. */
  put(slug: string, proposal: Proposal): Promise<Transacted<boolean>> {
    return this.#store.transact(`Put proposal ${slug}`, async (tx) => {
      const isNew = (await tx.read(pathOf(slug))) === null;
      tx.write(pathOf(slug), `${stringify(proposal)}\n`);
      return isNew;
    });
  }

  /** The commit that removed it; `null` where there was no such proposal. */
  async remove(slug: string): Promise<string | null> {
    if ((await this.#store.read(pathOf(slug))) === null) return null;
    const { commit } = await this.#store.transact(`Remove proposal ${slug}`, async (tx) => {
      tx.remove(pathOf(slug));
    });
    return commit;
  }
}

function pathOf(slug: string): string {
  return `${FOLDER}/${slug}${EXTENSION}`;
}
