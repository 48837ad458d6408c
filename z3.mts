import { readFileSync } from 'node:fs';
import { parseScenario } from './src/lab/scenario.ts';
import { planRuns } from './src/lab/plan.ts';
import { METRICS } from './src/lab/metrics/index.ts';
import { runWorld } from './test/lab/fake-world.ts';
import { writeResults, writeCharts } from './src/report/write.ts';
import { loadResults } from './src/report/results.ts';
for (const f of ['overhead','consolidation']) {
 const s = parseScenario(readFileSync(`scenarios/${f}.yaml`,'utf8').replace('hardware-assisted, "vms[vm].paging": shadow } }', 'hardware-assisted, "vms[vm].paging": shadow } }\n      - { label: nano-t, set: { "vms[vm].technique": trap-and-emulate, "vms[vm].guest": nano } }'), f);
 const plan = planRuns(s, (x)=>x);
 const recs = plan.runs.map(runWorld);
 await writeResults(`/tmp/res/${f}`, s, METRICS.map(m=>m.fold(recs, s.axes)), new Map(), {version:'0.1.0', png:true});
}
