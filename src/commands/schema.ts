/** hvsim schema: the JSON Schema of scenarios, for editors. */
import { scenarioJsonSchema } from '../lab/schema.ts';
import { CHART_NAMES } from '../report/charts/index.ts';
import { write } from './terminal.ts';

/** The text of scenarios/scenario.schema.json. */
export function schemaText(): string {
  return `${JSON.stringify(scenarioJsonSchema(CHART_NAMES), null, 2)}\n`;
}

export function schemaCommand(): number {
  write('stdout', schemaText());
  return 0;
}
