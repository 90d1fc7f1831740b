/** Faults of the network: each kind of break, in each phase of a push. */

import { until } from '../support/daemon.mjs';
import { across, NETWORKED } from './across.mjs';

const place = 'the network';

/** How a connection breaks, and the resulting kind of failure. */
const BREAKS = [
  { fault: 'cut', is: 'cut', kind: 'network' },
  { fault: 'reset', is: 'reset', kind: 'network' },
  { fault: 'stall', is: 'stall', kind: 'timeout', hangs: true },
];

/** A number of bytes within the key exchange of ssh and the certificate of TLS. */
const IN_HANDSHAKE = 500;
/** A number of bytes within an advertisement of 200 KB. */
const IN_ADVERTISEMENT = 60_000;
/** The length of that advertisement, less than one piece of it. */
const ADVERTISED = 178_000;
/** A number of bytes within a pack of megabytes, after the handshake and the command. */
const IN_PACK = 500_000;
/** Fewer bytes than a TLS record or an ssh packet with a report. */
const IN_REPORT = 8;

/** Sets a fault for new connections; those that are open end first, as they would not meet it. */
const afresh = (fault) => async (site) => {
  site.proxy.drop('reset');
  await until('no connection is open', () => site.proxy.open === 0);
  await site.proxy.set(fault());
};

/** Waits until the push has reached a gate in a hook of the server, then sets the fault. */
const atGate = (hook, options, fault) => ({
  setUp: (site) => {
    site.entrance = site.gate(hook, options);
  },
  during: async (site) => {
    await site.entrance.entered();
    await site.proxy.set(fault);
  },
  heal: (site) => site.entrance.open(),
});

/** Runs once the remote's refs have moved, before it reports. */
const COMMITTED = { when: '[ "$1" = committed ]' };

const beforeConnect = [
  ...across(NETWORKED, {
    fault: 'connection refused',
    phase: 'before connecting',
    kind: 'network',
    strike: ({ proxy }) => proxy.set({ is: 'refuse' }),
  }),
  ...across(NETWORKED, {
    fault: 'connection refused',
    phase: 'at startup',
    kind: 'network',
    fromStart: true,
    strike: ({ proxy }) => proxy.set({ is: 'refuse' }),
  }),
  ...across(NETWORKED, {
    fault: 'accepted and never answered',
    phase: 'before connecting',
    kind: 'timeout',
    hangs: true,
    strike: afresh(() => ({ is: 'silence' })),
  }),
];

const broken = BREAKS.flatMap(({ fault, is, ...shared }) => [
  ...across(['ssh', 'https', 'git-cli ssh', 'git-cli https'], {
    ...shared,
    fault,
    phase: 'in the handshake',
    strike: afresh(() => ({ is, from: 'server', after: IN_HANDSHAKE })),
  }),
  ...across(NETWORKED, {
    ...shared,
    fault,
    phase: 'in the advertisement',
    setUp: (site) => site.advertiseMuch(),
    strike: afresh(() => ({ is, from: 'server', after: IN_ADVERTISEMENT })),
  }),
  ...across(['git', 'ssh', 'https'], {
    ...shared,
    fault,
    phase: 'after the advertisement',
    setUp: (site) => site.advertiseMuch(),
    strike: afresh(() => ({ is, from: 'client', after: 0, onceServerSent: ADVERTISED })),
  }),
  ...across(NETWORKED, {
    ...shared,
    fault,
    phase: 'mid-pack',
    big: true,
    strike: afresh(() => ({ is, from: 'client', after: IN_PACK })),
  }),
  ...across(NETWORKED, {
    ...shared,
    fault,
    phase: 'after the pack',
    ...atGate('pre-receive', {}, { is, from: 'client', after: 0 }),
  }),
  ...across(NETWORKED, {
    ...shared,
    fault,
    phase: 'between commit and report',
    outcome: 'found',
    ...atGate('reference-transaction', COMMITTED, { is, from: 'client', after: 0 }),
  }),
]);

const inReport = across(NETWORKED, {
  fault: 'cut',
  phase: 'in the report',
  kind: 'network',
  outcome: 'found',
  setUp: (site) => {
    site.entrance = site.gate('reference-transaction', COMMITTED);
  },
  during: async (site) => {
    await site.entrance.entered();
    await site.proxy.set({ is: 'cut', from: 'server', after: IN_REPORT });
    site.entrance.open();
  },
});

const afterwards = [
  ...across(NETWORKED, {
    fault: 'cut',
    phase: 'in post-receive',
    // git's helper for HTTP drops the report that it has read.
    kind: { 'git-cli https': 'network', others: 'none' },
    outcome: { 'git-cli https': 'found' },
    setUp: (site) => {
      site.committed = site.gate('reference-transaction', COMMITTED);
      site.entrance = site.gate('post-receive');
    },
    during: async (site) => {
      await site.committed.entered();
      const { server: before } = site.proxy.bytes;
      site.committed.open();
      await site.entrance.entered();
      await until('the report has passed', () => site.proxy.bytes.server > before);
      if (!site.isCli) await until('a push event', () => site.log.of('push').length > 0);
      await site.proxy.set({ is: 'cut', from: 'client', after: 0 });
    },
    heal: async (site) => {
      await site.proxy.heal();
      site.entrance.open();
      site.commit();
    },
  }),
  ...['cut', 'reset'].flatMap((is) =>
    across(NETWORKED, {
      fault: is,
      phase: 'between two pushes',
      kind: 'none',
      strike: async (site) => {
        const tip = site.commit();
        await until('the first push', () =>
          site.log.of('push').some(({ commit }) => commit === tip),
        );
        site.proxy.drop(is);
      },
    }),
  ),
];

const slow = [
  ...across(NETWORKED, {
    fault: 'a trickle of 512 bytes every 2 ms',
    kind: 'none',
    strike: ({ proxy }) => proxy.set({ is: 'dribble', bytes: 512, everyMs: 2 }),
  }),
  ...across(NETWORKED, {
    fault: '30 ms of latency',
    kind: 'none',
    strike: ({ proxy }) => proxy.set({ is: 'delay', ms: 30 }),
  }),
];

const halfClosed = [
  ...across(NETWORKED, {
    fault: 'half-close, server to client',
    phase: 'in the advertisement',
    kind: 'network',
    setUp: (site) => site.advertiseMuch(),
    strike: afresh(() => ({ is: 'half-close', from: 'server', after: IN_ADVERTISEMENT })),
  }),
  ...across(NETWORKED, {
    fault: 'half-close, client to server',
    phase: 'mid-pack',
    // The server can still report the missing data here.
    kind: { git: 'remote-error', others: 'network' },
    big: true,
    strike: afresh(() => ({ is: 'half-close', from: 'client', after: IN_PACK })),
  }),
];

export default [
  ...beforeConnect,
  ...broken,
  ...inReport,
  ...afterwards,
  ...slow,
  ...halfClosed,
].map((cell) => ({ ...cell, place }));
