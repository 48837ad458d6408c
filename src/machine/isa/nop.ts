/** The row of an instruction that does nothing: also the placeholder where no instruction is decoded yet. */
import { type Row, row } from './row.ts';

export const nop: Row = row('90', 'NOP', '', 'simple', () => () => {});
