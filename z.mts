import { readFileSync } from 'node:fs';
import { parseScenario, scenarioText } from './src/lab/scenario.ts';
for (const f of process.argv.slice(2)) try { const s = parseScenario(readFileSync(f,'utf8'), f, {charts:['slowdown']}); console.log(scenarioText(s.doc), s.points.length); } catch (e) { console.log((e as Error).name === 'ScenarioError' ? (e as Error).message : e); }
