/** What a Dockerfile and a Kubernetes manifest say, for tests that have neither engine nor cluster. */

import assert from 'node:assert/strict';

import { load } from 'js-yaml';

/** The instructions that a Dockerfile may have (Dockerfile reference). */
const INSTRUCTIONS = [
  ['ADD', 'ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'EXPOSE', 'FROM', 'HEALTHCHECK', 'LABEL'],
  ['MAINTAINER', 'ONBUILD', 'RUN', 'SHELL', 'STOPSIGNAL', 'USER', 'VOLUME', 'WORKDIR'],
].flat();

/** @returns {{copied: string[], command: string[], env: Record<string, string>}} */
export function dockerfile(text) {
  const lines = text
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, instruction, rest] = /^(\w+) +(.+)$/.exec(line) ?? [];
      assert.ok(INSTRUCTIONS.includes(instruction), line);
      return { instruction, rest };
    });
  const all = (name) =>
    lines.filter(({ instruction }) => instruction === name).map(({ rest }) => rest);
  assert.equal(lines[0].instruction, 'FROM');
  assert.match(all('FROM')[0], /^node:\d+-alpine$/);
  assert.match(all('RUN')[0], /^apk add --no-cache git openssh-client$/);
  assert.match(all('RUN')[1], /^npm ci --omit=dev$/);
  assert.deepEqual(all('USER'), ['node']);
  return {
    copied: all('COPY').flatMap((rest) => rest.split(/ +/).slice(0, -1)),
    command: JSON.parse(all('CMD')[0]),
    env: Object.fromEntries(
      all('ENV').flatMap((rest) => rest.split(/ +/).map((pair) => pair.split('='))),
    ),
  };
}

/** What of a StatefulSet decides about the daemon. */
export function manifest(text) {
  const { kind, spec } = load(text);
  assert.equal(kind, 'StatefulSet');
  assert.equal(spec.replicas, 1);
  assert.deepEqual(spec.selector.matchLabels, spec.template.metadata.labels);
  const pod = spec.template.spec;
  assert.equal(pod.initContainers, undefined);
  const [api] = pod.containers;

  // Each mount has its volume, and the other way round.
  const volumes = [...spec.volumeClaimTemplates.map(({ metadata }) => metadata), ...pod.volumes];
  const names = (list) => list.map(({ name }) => name).sort();
  assert.deepEqual(names(api.volumeMounts), names(volumes));
  // A mount by subPath never sees a new key.
  assert.ok(api.volumeMounts.every((mount) => !('subPath' in mount)));
  assert.equal(pod.volumes[0].secret.defaultMode, 0o440);
  assert.equal(api.securityContext.readOnlyRootFilesystem, true);

  const [port] = api.ports.map(({ containerPort }) => containerPort);
  const probes = [api.startupProbe, api.livenessProbe, api.readinessProbe].map(({ httpGet }) => {
    assert.equal(httpGet.port, port);
    return httpGet.path;
  });
  return {
    port,
    probes,
    env: Object.fromEntries(
      api.env.map(({ name, value, valueFrom }) => [name, value ?? valueFrom.secretKeyRef.key]),
    ),
    graceMs: pod.terminationGracePeriodSeconds * 1_000,
    volumes: api.volumeMounts.map(({ mountPath }) => mountPath),
    claims: spec.volumeClaimTemplates.map(({ metadata }) => metadata.name),
  };
}
