/**
 * Xen credit against its reference vectors. Every expected number below is the reference's (section 1.1 and the
 * validation rows V1-V6, V21, V22), none was produced by this program. Tolerances are for the dynamic runs only.
 */
import { describe, expect, test } from 'vitest';
import { quantile } from '../../../src/core/stats.ts';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog, periodic, tickEvader, yielder } from '../../../src/host/modelled/index.ts';
import { type CreditClaim, credit, shareCredits } from '../../../src/host/sched/credit.ts';
import { STATE_PARKED, STATE_RUNNING } from '../../../src/host/scheduler.ts';
import { Lab, type LabSpec, type LabVm, latenciesMs } from '../lab.ts';

const A: LabVm = { demand: hog };
const minute = (spec: Omit<LabSpec, 'policy'>): Lab => {
  const lab = new Lab({ policy: credit, ...spec });
  lab.runMs(60_000);
  return lab;
};
const percent = (lab: Lab): number[] => lab.shares().map((share) => 100 * share);
const switchesPerSecond = (lab: Lab): number =>
  lab.host.pcpus.reduce((sum, { switches }) => sum + switches, 0) / (lab.host.now / 1e9);
/** Largest difference between a share in percent and the reference. */
const deviation = (lab: Lab, expected: readonly number[]): number =>
  Math.max(...percent(lab).map((share, i) => Math.abs(share - expected[i])));

describe('credits per accounting', () => {
  const claim = (weight: number, units = 1, cap = 0): CreditClaim => ({ weight, units, cap });
  const rows: [string, number, CreditClaim[], number[]][] = [
    ['1 pCPU, A256, B256', 1, [claim(256), claim(256)], [150, 150]],
    ['1 pCPU, A256, B512', 1, [claim(256), claim(512)], [100, 200]],
    ['2 pCPU, A 1 vCPU, B 2 vCPU, both 256', 2, [claim(256), claim(256, 2)], [200, 200]],
    ['2 pCPU, A256, B256, 1 vCPU each', 2, [claim(256), claim(256)], [300, 300]],
    ['2 pCPU, list [A1024x1, B256x2]', 2, [claim(1024), claim(256, 2)], [300, 150]],
    ['2 pCPU, list [B256x2, A1024x1]', 2, [claim(256, 2), claim(1024)], [100, 300]],
    ['1 pCPU, A cap 25, B uncapped, A first', 1, [claim(256, 1, 25), claim(256)], [75, 225]],
    ['1 pCPU, A cap 50 alone', 1, [claim(256, 1, 50)], [150]],
    ['4 pCPU, one 4-vCPU VM cap 200', 4, [claim(256, 4, 200)], [150]],
  ];
  const share = (pcpus: number, domains: CreditClaim[]) =>
    shareCredits({ domains, total: 300 * pcpus, creditsPerTslice: 300, balance: 0 });

  test.each(rows)('%s', (_name, pcpus, domains, expected) => {
    expect(share(pcpus, domains).map(({ perUnit }) => perUnit)).toEqual(expected);
  });

  test('a domain that could not use its surplus moves to the head, so that the next period is the better row', () => {
    expect(share(2, [claim(256, 2), claim(1024)]).map(({ toHead }) => toHead)).toEqual([false, true]);
    expect(share(2, [claim(1024), claim(256, 2)]).map(({ toHead }) => toHead)).toEqual([false, false]);
  });

  test('park thresholds: cap 50 alone -150, cap 200 over four vCPUs -150, none without a cap', () => {
    expect(share(1, [claim(256, 1, 50)])[0].parkBelow).toBe(-150);
    expect(share(4, [claim(256, 4, 200)])[0].parkBelow).toBe(-150);
    expect(share(1, [claim(256)])[0].parkBelow).toBe(-Infinity);
  });

  test('a debt of the last period is handed out again, and raises what a unit may get', () => {
    const [only] = shareCredits({ domains: [claim(256)], total: 300, creditsPerTslice: 300, balance: -100 });
    expect(only!.perUnit).toBe(400);
  });
});

describe('V2: a capped hog on an idle pCPU, one letter per 30 ms (R runs, . parked)', () => {
  const forever = (start: string, repeat: string, length: number): string => {
    let pattern = start;
    while (pattern.length < length) pattern += repeat;
    return pattern.slice(0, length);
  };
  const rows: [number, string, string][] = [
    [5, '', `R${'.'.repeat(19)}`],
    [10, '', 'R.........'],
    [20, '', 'R....'],
    [25, '', 'R...'],
    [30, '', 'R...R..R..'],
    [40, 'R..', 'RR...'],
    [50, '', 'RR..'],
    [60, 'RR..', 'RRR..'],
    [75, 'RRRR..', 'RRRRRR..'],
    [80, 'RRRRR..', 'RRRRRRRR..'],
    [90, `${'R'.repeat(10)}..`, `${'R'.repeat(18)}..`],
    [100, '', 'R'],
  ];
  /** Ideal alignment: slices start at multiples of the tick, and the tick burns before the accounting of its moment. */
  const pattern = (cap: number, periods: number): { letters: string; lab: Lab } => {
    const lab = new Lab({ policy: credit, vms: [{ ...A, capPercent: cap }] });
    const task = lab.host.tasks[0];
    let letters = '';
    let before = 0;
    for (let period = 1; period <= periods; period++) {
      lab.runMs(30 * period);
      const ran = task.times[STATE_RUNNING] - before;
      before += ran;
      letters += ran === 30 * NS_PER_MS ? 'R' : ran === 0 ? '.' : '?';
    }
    return { letters, lab };
  };

  // The reference calls 30 % and 50 % "repeating", says how 40 % starts, and gives the first two groups of the others,
  // which we read as: first group once, second group for ever.
  test.each(rows)('cap %i %%', (cap, start, repeat) => {
    const { letters, lab } = pattern(cap, 400);
    expect(letters).toBe(forever(start, repeat, 400));
    const share = percent(lab)[0];
    // 12 s. The reference: equal to the cap in the long run, 40.25 % for 40 %.
    const expected = cap === 40 ? 40.25 : cap;
    expect(Math.abs(share - expected)).toBeLessThanOrEqual(cap === 40 ? 1e-9 : cap * 0.01);
    const { times } = lab.host.tasks[0];
    expect(times[STATE_PARKED] + times[STATE_RUNNING]).toBe(lab.host.now);
  });

  test('a cap of 10 % keeps a VM off the CPU for 270 ms at a time', () => {
    expect(pattern(10, 100).letters).toContain(`R${'.'.repeat(9)}R`);
  });
});

describe('one pCPU, 60 s', () => {
  test('hogs 256:256 take turns of 30 ms', () => {
    const lab = minute({ vms: [A, A] });
    expect(deviation(lab, [50, 50])).toBeLessThanOrEqual(0.1);
    expect(switchesPerSecond(lab)).toBeCloseTo(33.3, 1);
  });

  test('V1: hogs 256:512', () => {
    const lab = minute({ vms: [A, { ...A, weight: 512 }] });
    expect(deviation(lab, [33.4, 66.6])).toBeLessThanOrEqual(0.1);
    // Settles to A B B: a switch every 45 ms. Exactly 22.2 in the long run; the start adds a few.
    expect(switchesPerSecond(lab)).toBeCloseTo(22.2, 0);
    for (const task of lab.host.tasks) expect(task.times[STATE_RUNNING] % (30 * NS_PER_MS)).toBe(0);
  });

  test('three equal hogs', () => {
    const lab = minute({ vms: [A, A, A] });
    expect(deviation(lab, [33.3, 33.3, 33.3])).toBeLessThanOrEqual(0.1);
    expect(switchesPerSecond(lab)).toBeCloseTo(33.3, 1);
  });

  // The reference does not say at which phase of the ticks its requests come. A first wait of 87 ms means 3 ms.
  const request = (phase_us: number): LabVm => ({ demand: periodic, with: { phase_us }, startMs: phase_us / 1000 });

  test('V4: I/O (100 us every 10 ms) and 3 hogs with boost', () => {
    const lab = minute({ vms: [request(3000), A, A, A], keepMax: 100 });
    expect(deviation(lab, [1, 33, 33, 33])).toBeLessThanOrEqual(0.1);
    const waits = latenciesMs(lab.host.tasks[0]);
    expect([quantile(waits, 500), quantile(waits, 950)]).toEqual([0, 0]);
    expect(waits.at(-1)).toBeLessThanOrEqual(1);
    // Its first wake is not boosted: "up to 87 ms".
    const first = lab.trace.events.find((event) => event.kind === 'running' && event.vcpu === 0)!;
    expect((first.at - 3 * NS_PER_MS) / NS_PER_MS).toBe(87);
  });

  /** Waits of the I/O unit without boost, over ten phases between two ticks, and its mean share in percent. */
  const withoutBoost = (hogs: number): { waits: number[]; share: number } => {
    const waits: number[] = [];
    let share = 0;
    for (let phase = 500; phase < 10_000; phase += 1000) {
      const lab = minute({ params: { boost: false }, vms: [request(phase), ...Array.from({ length: hogs }, () => A)] });
      waits.push(...latenciesMs(lab.host.tasks[0]));
      share += percent(lab)[0] / 10;
    }
    return { waits: waits.sort((a, b) => a - b), share };
  };

  // Single phases give 24 to 50 (median) and 53 to 89 ms (95 %) with three hogs; the reference's figures are those of
  // all phases together.
  test('V4 without boost: 3 hogs', () => {
    const { waits, share } = withoutBoost(3);
    expect(share).toBeCloseTo(0.3, 0.9);
    expect(Math.abs(quantile(waits, 500) - 26)).toBeLessThan(2.6);
    expect(Math.abs(quantile(waits, 950) - 57)).toBeLessThan(5.7);
  });

  test('V4 without boost: 1 hog', () => {
    const { waits, share } = withoutBoost(1);
    expect(Math.abs(share - 0.4)).toBeLessThan(0.05);
    expect(Math.abs(quantile(waits, 500) - 23)).toBeLessThan(2.3);
    expect(Math.abs(quantile(waits, 950) - 29)).toBeLessThan(2.9);
  });

  test('V5: a unit that wants 29.5 % (12 ms per 40.7 ms) loses its boost', () => {
    const mixed: LabVm = { demand: periodic, with: { work_us: 12_000, period_us: 40_700 } };
    const lab = minute({ vms: [mixed, A, A, A] });
    expect(deviation(lab, [25, 25, 25, 25])).toBeLessThanOrEqual(0.2);
    const waits = latenciesMs(lab.host.tasks[0]);
    expect(quantile(waits, 500)).toBe(0);
    expect(Math.abs(quantile(waits, 950) - 61)).toBeLessThan(1);
  });

  test('V6: the tick evader', () => {
    const evader: LabVm = { demand: tickEvader };
    expect(deviation(minute({ vms: [evader, A] }), [50, 50])).toBeLessThanOrEqual(1);
    const before2009 = { accounting: 'tick', ratelimit_us: 0 };
    expect(deviation(minute({ params: before2009, vms: [evader, A] }), [93, 7])).toBeLessThanOrEqual(1);
  });

  // Not in the reference, but a consequence of its rules: only a tick makes a unit active, and only active units are
  // accounted. One that is never found running keeps its priority whatever it burns. The reference's evader must have
  // been found once; ours is when it stops by CPU time, because the rate limit of the hog delays it past a tick.
  test('an evader that stops by the clock stays inactive, and exact burning does not see it', () => {
    const lab = minute({ vms: [{ demand: tickEvader, with: { stops_by: 'clock' } }, A] });
    expect(percent(lab)[0]).toBeGreaterThan(85);
  });

  // Not in the reference either: with 256:512:1280 the heavy one waits 60 ms when both others are within their share,
  // collects more than 300 credits, is deactivated and loses half of them: 57 % instead of 62.5 %.
  test('very uneven weights: what a unit cannot hold of its credit is lost', () => {
    const lab = minute({ vms: [A, { ...A, weight: 512 }, { ...A, weight: 1280 }] });
    expect(percent(lab)[2]).toBeLessThan(60);
    expect(percent(lab)[0] / percent(lab)[1]).toBeCloseTo(0.5, 1);
  });

  test('a yielding vCPU lets its equal go first and loses nothing but its turn', () => {
    const lab = new Lab({ policy: credit, params: { ratelimit_us: 0 }, vms: [{ demand: yielder }, A] });
    lab.runMs(3000);
    expect(lab.host.tasks[0].voluntary).toBeGreaterThan(10);
    expect(percent(lab)[1]).toBeGreaterThan(50);
  });
});

describe('several pCPUs', () => {
  test('V3: 3 hogs on 2 pCPUs get two thirds each, by stealing', () => {
    const lab = minute({ pcpus: 2, vms: [A, A, A] });
    expect(deviation(lab, [66.7, 66.7, 66.7])).toBeLessThanOrEqual(0.2);
    expect(lab.note('steal')).toBeGreaterThan(100);
    for (const pcpu of lab.host.pcpus) expect(pcpu.idleNs).toBe(0);
  });

  test('the weight of a VM counts once per vCPU', () => {
    const lab = minute({ pcpus: 2, vms: [A, { ...A, vcpus: 2 }] });
    expect(deviation(lab, [66.7, 66.7, 66.7])).toBeLessThanOrEqual(0.5);
  });

  test('a cap of 200 holds four hogs on four pCPUs at 200 %', () => {
    const lab = minute({ pcpus: 4, vms: [{ ...A, vcpus: 4, capPercent: 200 }] });
    const total = percent(lab).reduce((sum, share) => sum + share, 0);
    expect(Math.abs(total - 200)).toBeLessThanOrEqual(2);
  });

  test('two hogs on two cores of two threads go to different cores', () => {
    const topology = { sockets: 1, coresPerSocket: 2, threadsPerCore: 2 };
    const lab = new Lab({ policy: credit, topology, vms: [A, A] });
    lab.runMs(1000);
    const cores = lab.host.tasks.map((task) => task.pcpu >> 1);
    expect(cores[0]).not.toBe(cores[1]);
    expect(deviation(lab, [100, 100])).toBeLessThanOrEqual(0.1);
  });

  test('units stay within their hard mask, and go to an idle pCPU of their soft mask', () => {
    const pinned: LabVm = { ...A, task: { hard: [1] } };
    const soft: LabVm = { ...A, task: { soft: [2, 3] } };
    const lab = new Lab({ policy: credit, pcpus: 4, vms: [pinned, pinned, soft] });
    lab.runMs(3000);
    expect(deviation(lab, [50, 50, 100])).toBeLessThanOrEqual(0.1);
    expect(lab.host.tasks[2].pcpu).toBeGreaterThanOrEqual(2);
  });
});

describe('as it was, and as it was tried', () => {
  const total = (lab: Lab, vm: number): number =>
    lab.host.vms[vm].tasks.reduce((sum, task) => sum + (100 * task.times[STATE_RUNNING]) / lab.host.now, 0);

  test('one vCPU against four of the same weight: 1:4 since 2010, 1:1 before', () => {
    const vms = [A, { ...A, vcpus: 4 }];
    const now = minute({ vms });
    const before = minute({ vms, params: { weight_per: 'vm' } });
    expect(Math.abs(total(now, 0) - 20)).toBeLessThan(1);
    // Its half of the credits, but for what it cannot hold while it waits for the other four (see very uneven weights).
    expect(total(before, 0)).toBeGreaterThan(40);
    expect(total(before, 0)).toBeLessThan(51);
    const shares = shareCredits({
      domains: [
        { weight: 256, cap: 0, units: 1 },
        { weight: 256, cap: 0, units: 4 },
      ],
      total: 300,
      creditsPerTslice: 300,
      balance: 0,
      weightPer: 'vm',
    });
    // 150 each; the four have divCeil(150 / 4) = 38.
    expect(shares.map(({ perUnit }) => perUnit)).toEqual([150, 38]);
  });

  test('the end of being parked boosts until 2019', () => {
    const vms = [{ ...A, capPercent: 30 }, A];
    const count = (boost_on_unpark: boolean): number => {
      const lab = new Lab({ policy: credit, params: { boost_on_unpark }, vms });
      lab.runMs(3000);
      return lab.note('boost');
    };
    expect(count(false)).toBe(0);
    // A cap of 30 % parks about every 100 ms.
    expect(count(true)).toBeGreaterThan(20);
  });

  const requests: LabVm = { demand: periodic, with: { phase_us: 3000 }, startMs: 3 };

  test('Ongaro: without tickling on events, a boosted vCPU waits for the end of a slice', () => {
    const lab = minute({ params: { tickle_on_event: false }, vms: [requests, A, A, A] });
    const waits = latenciesMs(lab.host.tasks[0]);
    expect(lab.note('boost')).toBeGreaterThan(50);
    // It then goes first, so it waits for the rest of one slice of 30 ms; behind all three hogs only if it was not boosted.
    expect(quantile(waits, 500)).toBeGreaterThan(5);
    expect(quantile(waits, 950)).toBeLessThanOrEqual(30);
    expect(waits.at(-1)).toBeLessThanOrEqual(90);
  });

  test('Ongaro: sorted by credit, the one with the most goes first among equals', () => {
    const order = (queue_order: string): number[] => {
      const vms = [A, { ...A, weight: 512 }, { ...A, weight: 1280 }];
      const lab = new Lab({ policy: credit, params: { queue_order }, keepMax: 10_000, vms });
      lab.runMs(6000);
      return lab.trace.events.filter(({ kind }) => kind === 'running').map(({ vcpu }) => vcpu);
    };
    expect(order('credit')).not.toEqual(order('fifo'));
    const lab = minute({ params: { queue_order: 'credit' }, vms: [A, A, A] });
    expect(deviation(lab, [33.3, 33.3, 33.3])).toBeLessThanOrEqual(0.5);
  });

  test('deactivation to zero: one that uses less than its share keeps nothing', () => {
    const light: LabVm = { demand: periodic, with: { work_us: 12_000, period_us: 40_700 } };
    const run = (deactivation: string): number =>
      percent(minute({ params: { deactivation }, vms: [light, A, A, A] }))[0];
    expect(run('zero')).toBeLessThanOrEqual(run('halve') + 0.1);
  });
});
