import { guest, runVm } from './run-vm.ts';
const [t,p]=process.argv[2]!.split('/') as any;
const r = runVm({ image: guest('nano'), append: process.argv[3]!, memoryBytes: 32 * 2 ** 20, technique: t, paging: p, seconds: Number(process.argv[5]??60), cpuEngine: process.argv[4] as any });
console.log(r.instructions, r.simulatedNs, (r.state.eip>>>0).toString(16), r.vm.outcome, r.vm.exits, r.state.cr2, r.state.cr0);
