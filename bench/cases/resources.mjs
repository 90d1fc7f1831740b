/** What the daemon costs its process and its machine: processor time, memory, starting, the event loop. */

import { atMost } from '../measure.mjs';
import { copyShape, makeShape } from '../repositories.mjs';
import { summarize } from '../statistics.mjs';
import { measureIn } from './processes.mjs';

const MEGABYTE = 2 ** 20;
const DAEMONS = 10;
const READY_MS = 500;

const cpu = {
  name: 'cpu',
  title: 'CPU of a push on our side, ssh kept ready',
  isQuick: true,
  needs: 'ssh',
  async run(context) {
    const pushes = context.iterations(30, 8);
    const shape = makeShape(context.run, { files: 1_000, layout: 'sharded', commits: 32 });
    const cpu = {};
    for (const who of ['daemon', 'git push']) {
      const measureOver = async (chain) => {
        const { repo } = await context.places.make(context.t, 'ssh', shape);
        return measureIn('cpu', { who, repo, chain, readyMs: READY_MS });
      };
      // Without a push there is the start, and a connection kept ready, all the same.
      const without = await measureOver([]);
      const whole = await measureOver(shape.chain.slice(0, pushes));
      const each = (name) => (whole[name] - without[name]) / pushes;
      cpu[who] = { own: each('ownMs'), children: each('childrenMs') };
    }
    const { daemon, 'git push': gitPush } = cpu;
    return {
      details: {
        'of the daemon itself, ms': daemon.own,
        'of the ssh that makes the next connection, ms': daemon.children,
        'of git push and its ssh, ms': gitPush.children,
      },
      checks: [
        atMost(
          'of git push and its children',
          (daemon.own + daemon.children) / gitPush.children,
          0.1,
          '×',
        ),
        atMost('the same without ssh', daemon.own / gitPush.children, 0.1, '×'),
      ],
    };
  },
};

const memory = {
  name: 'memory',
  title: 'resident memory of idle daemons',
  isQuick: true,
  async run(context) {
    const shape = makeShape(context.run, { files: 1_000, layout: 'sharded', commits: 32 });
    const repos = Array.from({ length: 1 + DAEMONS }, () => copyShape(context.t, shape).repo);
    const taken = { first: [], further: [], loaded: [], anonymous: [] };
    for (let index = 0; index < context.iterations(30, 5); index += 1) {
      const bytes = {};
      const anonymous = {};
      for (const [what, daemons] of [
        ['bare', null],
        ['loaded', 0],
        ['one', 1],
        ['all', 1 + DAEMONS],
      ]) {
        const of = daemons === null ? null : repos.slice(0, daemons);
        const measured = await measureIn('memory', { repos: of });
        bytes[what] = measured.residentBytes;
        anonymous[what] = measured.anonymousBytes;
      }
      taken.loaded.push((bytes.loaded - bytes.bare) / MEGABYTE);
      taken.first.push((bytes.one - bytes.bare) / MEGABYTE);
      taken.anonymous.push((anonymous.one - anonymous.bare) / MEGABYTE);
      taken.further.push((bytes.all - bytes.one) / DAEMONS / 1024);
    }
    const [first, further] = [summarize(taken.first), summarize(taken.further)];
    return {
      details: {
        'the addon alone, MB': summarize(taken.loaded),
        'with a daemon, MB': first,
        'of that without a file behind it, MB': summarize(taken.anonymous),
        'each further daemon, KB': further,
      },
      checks: [
        atMost('over a bare process', first.median, 4, 'MB'),
        atMost('each further daemon', further.median, 200, 'KB'),
      ],
    };
  },
};

const startUp = {
  name: 'start-up',
  title: 'start-up on the JavaScript thread, 100k files',
  isQuick: true,
  async run(context) {
    const shape = makeShape(context.run, { files: 100_000, layout: 'sharded', commits: 32 });
    const { repo } = copyShape(context.t, shape);
    const taken = { require: [], start: [] };
    for (let index = 0; index < context.iterations(30, 10); index += 1) {
      const { requireMs, startMs } = await measureIn('start-up', { repo });
      taken.require.push(requireMs);
      taken.start.push(startMs);
    }
    const [loading, starting] = [summarize(taken.require), summarize(taken.start)];
    return {
      details: { 'require, ms': loading, 'startPushDaemon, ms': starting },
      checks: [
        atMost('require', loading.median, 5, 'ms'),
        atMost('startPushDaemon', starting.median, 1, 'ms'),
      ],
    };
  },
};

const eventLoop = {
  name: 'event-loop',
  title: 'event loop with 1.5 GB off-heap, during pushes',
  isQuick: true,
  async run(context) {
    const pushes = context.iterations(100, 20);
    const shape = makeShape(context.run, { files: 1_000, layout: 'sharded', commits: 100 });
    const place = (name) => {
      const copy = copyShape(context.t, shape);
      return { name, repo: copy.repo, base: shape.base, chain: shape.chain.slice(0, pushes) };
    };
    const { calls, delays, blocked, quiet } = await measureIn('event-loop', {
      offHeapBytes: 1.5 * 2 ** 30,
      phases: [place('daemon'), place('spawning')],
    });
    // That has a target of its own.
    const { startPushDaemon: _, ...small } = calls;
    const slowest = Math.max(...Object.values(small).map((taken) => summarize(taken).p99));
    return {
      details: {
        ...Object.fromEntries(
          Object.entries(calls).map(([name, taken]) => [`${name}(), ms`, summarize(taken)]),
        ),
        'a spawn of the spawning daemon blocks, ms': summarize(blocked),
        'loop delay p99 while another process commits, ms': quiet,
        'loop delay p99 while the daemon pushes, ms': delays.daemon,
        'loop delay p99 while the spawning daemon pushes, ms': delays.spawning,
      },
      checks: [
        atMost('our slowest call, p99', slowest, 0.2, 'ms'),
        atMost('loop delay p99 over that without pushes', delays.daemon - quiet, 1, 'ms'),
      ],
    };
  },
};

export const resources = [cpu, memory, startUp, eventLoop];
