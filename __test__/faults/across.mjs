/** Cells that differ only in their transport. */

/** The transports with a network in between. */
export const NETWORKED = ['git', 'ssh', 'https', 'git-cli ssh', 'git-cli https'];
export const NATIVE = ['local', 'git', 'ssh', 'https'];
export const SSH = ['ssh', 'git-cli ssh'];
export const HTTPS = ['https', 'git-cli https'];

/**
 * One cell for each transport. `kind` and `outcome` may be objects by transport, with `others` for the rest.
 *
 * @returns {import('./cell.mjs').Cell[]}
 */
export function across(transports, cell) {
  return transports.map((transport) => {
    const by = (value) =>
      value !== null && typeof value === 'object' ? (value[transport] ?? value.others) : value;
    const kind = by(cell.kind) ?? 'none';
    const outcome = by(cell.outcome) ?? (kind === 'none' ? 'pushed' : 'retry');
    return { phase: '', ...cell, transport, kind, outcome };
  });
}
