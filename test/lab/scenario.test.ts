/** Scenarios: what is accepted, what comes out, and every kind of mistake with its exact message. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { schedulers } from '../../src/host/sched/index.ts';
import { ScenarioError } from '../../src/lab/problems.ts';
import { defineScenario, parseScenario, scenarioText } from '../../src/lab/scenario.ts';
import { scenarioJsonSchema } from '../../src/lab/schema.ts';
import type { ExecutedVmInput } from '../../src/lab/schema-vms.ts';
import { CHART_NAMES } from '../../src/report/charts/index.ts';

/** Any name of a policy is allowed; the list grows. */
const POLICIES = schedulers.map(({ name }) => name).join(', ');

const GOOD = `name: good
vms:
  - name: vm
    guest: nano-clean
    workload: sieve n=1000
`;

/** Parses and answers the problems, one per line. */
function problemsOf(text: string): string[] {
  try {
    parseScenario(text, 'bad.yaml', { charts: CHART_NAMES });
  } catch (error) {
    if (error instanceof ScenarioError) return error.message.split('\n');
    throw error;
  }
  return [];
}

describe('a good scenario', () => {
  test('gets its defaults', () => {
    const { doc, points } = parseScenario(GOOD, 'good.yaml');
    expect(doc).toEqual({
      name: 'good',
      duration: '60 s',
      host: {
        preset: 'broadwell',
        pcpus: 1,
        frequency: 'auto',
        memory: '512 MiB',
        scheduler: expect.objectContaining({ policy: 'credit', tslice_ms: 30 }),
        quantum: '20 us',
      },
      vms: [
        {
          name: 'vm',
          count: 1,
          guest: 'nano-clean',
          workload: 'sieve n=1000',
          technique: 'hardware-assisted',
          paging: 'auto',
          tagged_tlb: 'auto',
          memory: '32 MiB',
          vcpus: 1,
          weight: 256,
          cap: 0,
        },
      ],
      sweep: {},
      seeds: [1],
      baseline: 'native',
      charts: [],
    });
    expect(points).toHaveLength(1);
  });

  test('written out, reads back as itself', () => {
    for (const name of ['overhead', 'consolidation', 'nested-paging', 'exits']) {
      const text = readFileSync(`scenarios/${name}.yaml`, 'utf8');
      const first = parseScenario(text, `${name}.yaml`, { charts: CHART_NAMES });
      const written = scenarioText(first.doc);
      const second = parseScenario(written, 'again.yaml', { charts: CHART_NAMES });
      expect(second).toEqual(first);
      expect(scenarioText(second.doc)).toBe(written);
    }
  });

  test('is the same from TypeScript', () => {
    const typed = defineScenario({
      name: 'good',
      vms: [{ name: 'vm', guest: 'nano-clean', workload: 'sieve n=1000' }],
    });
    expect(typed).toEqual(parseScenario(GOOD, 'good.yaml'));
  });

  test('spellings of quantities are normalised', () => {
    const { doc } = parseScenario(`${GOOD}duration: 2000ms\nhost: { quantum: 0.01 ms }\n`, 'good.yaml');
    expect([doc.duration, doc.host.quantum]).toEqual(['2 s', '10 us']);
  });

  test('axes set values, and every combination is a point', () => {
    const sweep = `sweep:
  n: { path: "vms[vm].workload", values: [sieve n=10, sieve n=20] }
  how:
    values:
      - { label: bare, set: { "vms[0].technique": native } }
      - { label: nested, set: { vms.vm.paging: nested } }
`;
    const { points, axes } = parseScenario(GOOD + sweep, 'good.yaml');
    expect(axes).toEqual(['n', 'how']);
    expect(points.map(({ axes: labels }) => Object.values(labels).join(' / '))).toEqual([
      'sieve n=10 / bare',
      'sieve n=10 / nested',
      'sieve n=20 / bare',
      'sieve n=20 / nested',
    ]);
    expect(points[3]!.world.vms[0]).toMatchObject({
      workload: 'sieve n=20',
      technique: 'hardware-assisted',
      paging: 'nested',
    });
  });

  test('overrides replace values, and are blamed for their mistakes', () => {
    const overrides = [{ path: 'vms[vm].memory', value: '64 MiB' }];
    expect(parseScenario(GOOD, 'good.yaml', { overrides, seeds: [7] }).doc).toMatchObject({
      seeds: [7],
      vms: [{ memory: '64 MiB' }],
    });
    const bad = [
      { path: 'vms[vm].memory', value: 64 },
      { path: 'hots.pcpus', value: 2 },
    ];
    expect(() => parseScenario(GOOD, 'good.yaml', { overrides: bad })).toThrow(
      '--set hots.pcpus: found "hots.pcpus", expected a path that starts with host, vms or duration. Did you mean "host"?\n' +
        '--set vms[vm].memory: vms[0].memory: found 64, expected a size with its unit, such as "64 MiB" (units: B, KiB, MiB, GiB)',
    );
  });
});

const VM = '\n  - name: vm\n    guest: hello\n';

describe('a mistake is reported with its place', () => {
  test.each<[string, string, string[]]>([
    ['nothing', '', ['bad.yaml:1:1: found nothing, expected a mapping with name, host, vms, ...']],
    ['a list', '- 1\n', ['bad.yaml:1:1: found a list of 1, expected a mapping with name, host, vms, ...']],
    [
      'missing parts',
      'title: x\n',
      [
        'bad.yaml:1:1: name: missing; expected a name of lower-case letters, digits and dashes',
        'bad.yaml:1:1: vms: missing; expected a list',
      ],
    ],
    [
      'an unclosed bracket',
      'name: [x\n',
      ['bad.yaml:2:1: Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ],
    ['a key twice', `name: a\nname: b\nvms:${VM}`, ['bad.yaml:2:1: this key stands here twice']],
    ['a tab', 'name: x\n\tvms: 3\n', ['bad.yaml:2:1: a tab is used for indentation; YAML wants spaces']],
    [
      'two documents',
      `name: x\nvms:${VM}---\nname: y\n`,
      ['bad.yaml:5:1: a second document starts here; a scenario is one document'],
    ],
    ['a tag', `name: !!js/function x\nvms:${VM}`, ['bad.yaml:1:7: tags (!) are not used in scenarios']],
    ['an unknown anchor', `name: *x\nvms:${VM}`, ['bad.yaml:1:1: the alias *x has no anchor &x before it']],
    [
      'a mistyped key',
      `name: x\nquestoin: y\nvms:${VM}`,
      [
        'bad.yaml:2:1: questoin: unknown key. Did you mean "question"? Allowed: name, title, question, sweep, seeds, baseline, compare, metrics, timeline, tables, charts, duration, host, vms',
      ],
    ],
    [
      'a mistyped key of a VM',
      `name: x\nvms:${VM}    wieght: 3\n`,
      [
        'bad.yaml:5:5: vms[0].wieght: unknown key. Did you mean "weight"? Allowed: name, count, guest, workload, technique, paging, tagged_tlb, ring, out_of_sync, keep_shadows, memory, vcpus, weight, scheduling, vcpu_scheduling, halt_polling, pool, affinity, cap, guest_vmx, vmcs_shadowing, vmx',
      ],
    ],
    [
      'a bad name',
      `name: Not Good\nvms:${VM}`,
      ['bad.yaml:1:7: name: found "Not Good", expected a name of lower-case letters, digits and dashes'],
    ],
    [
      'a number without a unit',
      `name: x\nduration: 60\nvms:${VM}`,
      [
        'bad.yaml:2:11: duration: found 60, expected a duration with its unit, such as "30 ms" (units: ns, us, ms, s, min)',
      ],
    ],
    [
      'a wrong unit',
      `name: x\nhost: { memory: 64 MB }\nvms:${VM}`,
      ['bad.yaml:2:17: host.memory: found "64 MB", unknown unit "MB"; did you mean "MiB"? allowed: B, KiB, MiB, GiB'],
    ],
    [
      'an unknown preset',
      `name: x\nhost: { preset: pentium5 }\nvms:${VM}`,
      [
        'bad.yaml:2:17: host.preset: found "pentium5", expected one of pentium3-733, xeon-2400, pentium4-672, core2-duo, penryn, nehalem, westmere, sandy-bridge, ivy-bridge, haswell, broadwell, epyc. Did you mean "pentium3-733"?',
      ],
    ],
    [
      'an unknown scheduler',
      `name: x\nhost: { scheduler: credti }\nvms:${VM}`,
      [`bad.yaml:2:20: host.scheduler: found "credti", expected ${POLICIES} or a mapping. Did you mean "credit"?`],
    ],
    [
      'an unknown policy',
      `name: x\nhost: { scheduler: { policy: fair } }\nvms:${VM}`,
      [`bad.yaml:2:30: host.scheduler.policy: found "fair", expected one of ${POLICIES}`],
    ],
    [
      'a parameter of another policy',
      `name: x\nhost: { scheduler: { policy: round-robin, tslice_ms: 3 } }\nvms:${VM}`,
      ['bad.yaml:2:43: host.scheduler.tslice_ms: unknown key. Allowed: policy, quantum_ms, queue, weighted'],
    ],
    [
      'half a CPU',
      `name: x\nhost: { pcpus: 1.5 }\nvms:${VM}`,
      ['bad.yaml:2:16: host.pcpus: found 1.5, expected a whole number'],
    ],
    [
      'too many CPUs',
      `name: x\nhost: { pcpus: 1000 }\nvms:${VM}`,
      ['bad.yaml:2:16: host.pcpus: found 1000, expected at most 64 where guests are executed'],
    ],
    [
      'a text for a number',
      `name: x\nvms:${VM}    count: "3"\n`,
      ['bad.yaml:5:12: vms[0].count: found "3", expected a whole number'],
    ],
    [
      'an unknown guest',
      'name: x\nvms:\n  - name: vm\n    guest: nanoo\n    workload: sieve\n',
      [
        expect.stringMatching(
          /^bad\.yaml:4:12: vms\[0\]\.guest: found "nanoo", expected one of nano, .*, or the path of a multiboot ELF file\. Did you mean "nano"\?$/,
        ) as string,
      ],
    ],
    [
      'an unknown workload',
      'name: x\nvms:\n  - name: vm\n    guest: nano\n    workload: seive n=3\n',
      [
        expect.stringMatching(
          /^bad\.yaml:5:15: vms\[0\]\.workload: found "seive", expected one of sieve, .*\. Did you mean "sieve"\?$/,
        ) as string,
      ],
    ],
    [
      'an unknown option',
      'name: x\nvms:\n  - name: vm\n    guest: nano\n    workload: sieve m=3\n',
      [
        'bad.yaml:5:15: vms[0].workload: unknown option "m" of sieve, expected one of n, rounds, hz, console. Did you mean "n"?',
      ],
    ],
    [
      'an unknown placeholder',
      `name: x\nvms:${VM}    workload: x={sed}\n`,
      ['bad.yaml:5:15: vms[0].workload: found "{sed}", expected {seed} or {vm}'],
    ],
    [
      'the wrong paging',
      `name: x\nvms:${VM}    technique: trap-and-emulate\n    paging: nested\n`,
      ['bad.yaml:6:13: vms[0].paging: found "nested", but trap-and-emulate needs auto or shadow'],
    ],
    [
      'paging the machine lacks',
      `name: x\nhost: { preset: pentium4-672 }\nvms:${VM}    paging: nested\n`,
      ['bad.yaml:6:13: vms[0].paging: found "nested", but the preset pentium4-672 has no nested paging; use shadow'],
    ],
    [
      'a native VM with company',
      `name: x\nvms:${VM}    technique: native\n    count: 3\n`,
      ['bad.yaml:5:16: vms[0].technique: native is the bare machine for one guest, but 2 more VMs are on this host'],
    ],
    [
      'a cap above the vCPUs',
      `name: x\nvms:${VM}    cap: 150\n`,
      ['bad.yaml:5:10: vms[0].cap: found 150, expected at most 100 (100 per vCPU)'],
    ],
    [
      'too little memory',
      `name: x\nhost: { memory: 64 MiB }\nvms:${VM}    count: 3\n`,
      [
        'bad.yaml:2:17: host.memory: found "64 MiB", but the VMs together have 96 MiB, and the VMM needs 3 MiB for its tables',
      ],
    ],
    [
      'memory of odd size',
      `name: x\nvms:${VM}    memory: 8388609 B\n`,
      ['bad.yaml:5:13: vms[0].memory: found "8388609 B", expected a multiple of 4 KiB'],
    ],
    [
      'two VMs of one name',
      `name: x\nvms:${VM}  - name: vm\n    guest: hello\n`,
      ['bad.yaml:5:11: vms[1].name: found "vm", but vms[0] has a VM named "vm" already'],
    ],
    [
      'an unknown chart',
      `name: x\nvms:${VM}charts: [slowdwn]\n`,
      [
        'bad.yaml:5:10: charts[0]: found "slowdwn", expected one of slowdown, cycles, exits, equivalence, utilization, latency, throughput, map, exit-costs, interpretation, holes, requirements, published, gantt, consolidation, spinning, isolation, agreement. Did you mean "slowdown"?',
      ],
    ],
    [
      'no seeds',
      `name: x\nvms:${VM}seeds: []\n`,
      ['bad.yaml:5:8: seeds: found an empty list, expected at least 1 element'],
    ],
    [
      'an axis to nowhere',
      `name: x\nvms:${VM}sweep:\n  n: { path: "vms[b].count", values: [1] }\n`,
      ['bad.yaml:6:14: sweep.n.path: found "vms[b].count", but the scenario has no such element'],
    ],
    [
      'an axis of another root',
      `name: x\nvms:${VM}sweep:\n  n: { path: seeds, values: [1] }\n`,
      ['bad.yaml:6:14: sweep.n.path: found "seeds", expected a path that starts with host, vms or duration'],
    ],
    [
      'an axis without a path',
      `name: x\nvms:${VM}sweep:\n  n: { values: [1] }\n`,
      [
        'bad.yaml:6:17: sweep.n.values[0]: the axis has no "path", so each value must be {label, set: {path: value}}, or a workload must have the word {axis}',
      ],
    ],
    [
      "an axis with a column's name",
      `name: x\nvms:${VM}sweep:\n  seed: { path: host.pcpus, values: [1] }\n`,
      ['bad.yaml:6:3: sweep.seed: this name is a column of runs.csv'],
    ],
    [
      'an axis with a bad name',
      `name: x\nvms:${VM}sweep:\n  N-VMs: { path: host.pcpus, values: [1] }\n`,
      ['bad.yaml:6:3: sweep.N-VMs: expected a name of lower-case letters, digits and underscores'],
    ],
    [
      'a label twice',
      `name: x\nvms:${VM}sweep:\n  n: { path: host.pcpus, values: [1, 2, 1] }\n`,
      ['bad.yaml:6:41: sweep.n.values[2]: the label "1" stands here twice'],
    ],
    [
      'a bad axis value',
      `name: x\nvms:${VM}sweep:\n  n: { path: "vms[0].technique", values: [native, hw] }\n`,
      [
        'bad.yaml:6:51: vms[0].technique: found "hw", expected one of native, trap-and-emulate, hardware-assisted, binary-translation, emulation, bytecode, bytecode-translated, paravirtual',
      ],
    ],
    [
      'a bad combination',
      `name: x\nvms:${VM}    paging: nested\nsweep:\n  t: { path: "vms[0].technique", values: [trap-and-emulate, hardware-assisted] }\n`,
      [
        'bad.yaml:5:13: vms[0].paging: found "nested", but trap-and-emulate needs auto or shadow (with t = trap-and-emulate)',
      ],
    ],
    [
      'half a scheduler axis',
      `name: x\nvms:${VM}sweep:\n  s: { path: host.scheduler.policy, values: [credit] }\n`,
      ['bad.yaml:6:14: sweep.s.path: change host.scheduler as a whole: the parameters belong to one policy'],
    ],
    ['a deep document', `name: ${'['.repeat(5000)}\n`, ['bad.yaml:1:1: nested deeper than 60 levels']],
  ])('%s', (_name, text, expected) => {
    expect(problemsOf(text)).toEqual(expected);
  });

  test('aliases that would fill the memory', () => {
    const rows = Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(',')}]`);
    expect(problemsOf(['a0: &a0 [x,x,x,x,x,x,x,x,x,x]', ...rows].join('\n'))).toEqual([
      'bad.yaml:1:1: its aliases (*name) stand for far more data than a scenario needs',
    ]);
  });

  test('too many combinations', () => {
    const values = JSON.stringify(Array.from({ length: 200 }, (_, i) => i + 1));
    const axis = (name: string) => `  ${name}: { path: "vms[0].weight", values: ${values} }\n`;
    expect(problemsOf(`name: x\nvms:${VM}sweep:\n${axis('a')}${axis('b')}`)).toEqual([
      'bad.yaml:5:1: sweep: 40000 combinations, at most 10000 are run',
    ]);
  });

  test('all mistakes of a file are reported together, in the order of the file', () => {
    const text = `name: Bad
duration: 60
host:
  pcpus: 0
vms:
  - name: a
    guest: nano-claen
    cap: 200
  - name: a
    guest: hello
    weight: 0
charts: [pie]
`;
    expect(problemsOf(text).map((line) => line.split(': ').slice(0, 2).join(' '))).toEqual([
      'bad.yaml:1:7 name',
      'bad.yaml:2:11 duration',
      'bad.yaml:4:10 host.pcpus',
      'bad.yaml:7:12 vms[0].guest',
      'bad.yaml:8:10 vms[0].cap',
      'bad.yaml:9:11 vms[1].name',
      'bad.yaml:11:13 vms[1].weight',
      'bad.yaml:12:10 charts[0]',
    ]);
  });

  test('control characters of a file do not reach the terminal', () => {
    const [message] = problemsOf(`name: "a\\e[31mb"\nvms:${VM}`);
    expect(message).toBe(
      'bad.yaml:1:7: name: found "a\ufffd[31mb", expected a name of lower-case letters, digits and dashes',
    );
  });
});

describe('axes as words of a command line', () => {
  const text = `name: words
vms:
  - { name: vm, guest: nano-clean, workload: "sieve n={n} rounds={times}" }
sweep:
  n: { values: [100, 200] }
  times:
    values:
      - 3
      - { label: 4, set: { "vms[vm].memory": 64 MiB } }
`;

  test('give every combination its own', () => {
    const bad = text.replace('label: 4', 'label: "4"');
    const { points } = parseScenario(bad, 'words.yaml');
    expect(points.map(({ world }) => (world.vms[0] as ExecutedVmInput).workload)).toEqual([
      'sieve n=100 rounds=3',
      'sieve n=100 rounds=4',
      'sieve n=200 rounds=3',
      'sieve n=200 rounds=4',
    ]);
    expect(points.map(({ world }) => (world.vms[0] as ExecutedVmInput).memory)).toEqual([
      '32 MiB',
      '64 MiB',
      '32 MiB',
      '64 MiB',
    ]);
  });

  test('stay as they were written in the resolved scenario, which means the same', () => {
    const scenario = parseScenario(text.replace('label: 4', 'label: "4"'), 'words.yaml');
    expect((scenario.doc.vms[0] as ExecutedVmInput).workload).toBe('sieve n={n} rounds={times}');
    expect(parseScenario(scenarioText(scenario.doc), 'again.yaml').points).toEqual(scenario.points);
  });

  test('are checked as all command lines are', () => {
    expect(problemsOf(text.replace('{times}', '{turns}').replace('label: 4', 'label: "4"')).join('\n')).toContain(
      'found "{turns}", expected {seed} or {vm}',
    );
  });
});

describe('the schema for editors', () => {
  test('is the committed one', () => {
    const committed = readFileSync('scenarios/scenario.schema.json', 'utf8');
    expect(committed).toBe(`${JSON.stringify(scenarioJsonSchema(CHART_NAMES), null, 2)}\n`);
  });

  test('is referred to by every scenario', () => {
    for (const name of ['overhead', 'consolidation', 'nested-paging', 'exits']) {
      const text = readFileSync(`scenarios/${name}.yaml`, 'utf8');
      expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=./scenario.schema.json');
      expect(parse(text)).toHaveProperty('name', name);
    }
  });
});
