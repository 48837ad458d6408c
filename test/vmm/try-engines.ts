import { guest, runVm } from './run-vm.ts';
const appends = process.argv.slice(3);
const [tech, paging] = (process.argv[2] ?? 'native/native').split('/') as [any, any];
for (const append of appends) {
  const out: any[] = [];
  for (const cpuEngine of ['interpreter', 'compiled'] as const) {
    const t = process.hrtime.bigint();
    const r = runVm({ image: guest('nano'), append, memoryBytes: 32 * 2 ** 20, technique: tech, paging, seconds: 60, cpuEngine });
    const s = Number(process.hrtime.bigint() - t) / 1e9;
    out.push({ i: r.instructions, ns: r.simulatedNs, hash: r.memoryHash.slice(0, 12), regs: [...r.state.regs].join(), dig: r.digest.slice(0,8), mips: (r.instructions / s / 1e6).toFixed(0), text: r.vm.consoleText().split('\n').at(-2), out: r.vm.outcome!.kind });
  }
  const same = ['i', 'ns', 'hash', 'regs', 'dig', 'text'].every((k) => out[0][k] === out[1][k]);
  console.log(same ? 'SAME' : 'DIFF', append, out.map((o) => `${o.mips}`).join(' -> '));
  if (!same) console.log(out);
}
