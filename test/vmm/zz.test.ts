import { readFileSync } from 'node:fs';
import { expect, it, describe } from 'vitest';
import { guest, runVm } from './run-vm.ts';
const runs = JSON.parse(readFileSync(new URL('../../guests/expected/runs.json', import.meta.url), 'utf8')) as any[];
const W = ['sieve n=3000 rounds=3','matmul n=12 rounds=3','calls depth=9 rounds=4','chase pages=251 hops=15000 seed=7','syscall n=1200','pgfault n=200','ptemod n=1500','forkwait n=3','io n=1000','idle ticks=3 hz=1000','web requests=4 gap=1 work=2000 seed=3 hz=1000','mix tasks=3 work=4000 hz=5000','faults','bogus'];
describe.each(['nano', 'nano-clean'])('%s', (g) => {
it.each(W)('%s', (append) => {
  const o = { image: guest(g), seconds: 0.5, memoryBytes: 8 << 20 };
  for (const hz of [append, /hz/.test(append) ? '' : `${append} hz=0`]) {
    if (hz === '') continue;
    const n = runVm({ ...o, append: hz, technique: 'native', paging: 'native', cpuEngine: 'compiled' });
    for (const preset of ['broadwell', 'pentium4-672']) {
    const books = [];
    for (const cpuEngine of ['interpreter', 'compiled'] as const) {
      const t0 = performance.now();
      const b = runVm({ ...o, append: hz, technique: 'binary-translation', paging: 'shadow', cpuEngine, preset, hotAfter: 2 });
      if (/hz=0/.test(hz)) {
        expect(b.instructions).toBe(n.instructions);
        expect(b.state).toEqual(n.state);
        expect(b.memoryHash).toBe(n.memoryHash);
      }
      expect(b.vm.outcome).toEqual(n.vm.outcome);
      expect(b.vm.consoleText()).toBe(n.vm.consoleText());
      expect(b.vm.divergences).toEqual([]);
      books.push({ i: b.instructions, s: b.state, m: b.memoryHash, t: b.simulatedNs, e: b.vm.exits.sorted(), d: b.digest });
      if (performance.now() - t0 > 3000) console.log(hz, cpuEngine, performance.now() - t0);
    }
    expect(books[1]).toEqual(books[0]);
    }
  }
}, 600000);
});
