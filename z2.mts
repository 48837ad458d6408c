import { readFileSync, writeFileSync, mkdirSync } from 'node:fs';
import { parseScenario } from './src/lab/scenario.ts';
import { planRuns } from './src/lab/plan.ts';
import { METRICS } from './src/lab/metrics/index.ts';
import { runWorld } from './test/lab/fake-world.ts';
import { resultsOf } from './src/report/results.ts';
import { CHARTS } from './src/report/charts/index.ts';
import { renderSvg } from './src/report/svg.ts';
import { renderPng } from './src/report/png.ts';
mkdirSync('/tmp/pics',{recursive:true});
for (const f of ['overhead','consolidation']) {
 const s = parseScenario(readFileSync(`scenarios/${f}.yaml`,'utf8'), f);
 const plan = planRuns(s, (x)=>x);
 const recs = plan.runs.map(runWorld);
 const results = resultsOf(s, METRICS.map(m=>m.fold(recs, s.axes)));
 for (const c of CHARTS) {
  const d = c.draw(results, undefined);
  if (!d) { console.log(f, c.name, 'nothing'); continue; }
  const t=performance.now();
  const svg = await renderSvg(d.spec, (w)=>console.log('WARN', c.name, w));
  console.log(f, c.name, svg.length, performance.now()-t, d.sentences);
  writeFileSync(`/tmp/pics/${f}-${c.name}.svg`, svg);
  writeFileSync(`/tmp/pics/${f}-${c.name}.png`, await renderPng(svg));
 }
}
