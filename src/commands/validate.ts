/** hvsim validate: checks scenarios without running them. */
import { planRuns } from '../lab/plan.ts';
import { loadScenarios } from './load.ts';
import { print } from './terminal.ts';

export function validateCommand(files: readonly string[], set: readonly string[]): number {
  for (const { file, scenario, fileOf } of loadScenarios(files, { set })) {
    const { runs } = planRuns(scenario, fileOf);
    const baselines = runs.filter((run) => run.role === 'baseline').length;
    const added = baselines === 0 ? '' : `, ${baselines} of them ${scenario.doc.baseline} baselines`;
    print(`${file}: ok: ${runs.length} run${runs.length === 1 ? '' : 's'}${added}`);
  }
  return 0;
}
