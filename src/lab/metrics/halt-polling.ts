/** halt-polling.csv: what polling before blocking was good for, for scenarios with `halt_polling`. */
import type { HaltPollingRecord } from '../rows.ts';
import { metric, type VmRow, vmKey, vmRows } from './metric.ts';

interface Row extends VmRow {
  readonly vcpu: number;
  readonly polling: HaltPollingRecord;
}

export const haltPolling = metric<Row>({
  name: 'halt-polling',
  doc: 'One row per virtual CPU that polls before it blocks, and run.',
  isOptional: true,
  rows: (records) =>
    vmRows(records).flatMap((row) =>
      row.vm.vcpus.flatMap(({ vcpu, haltPolling: polling }) =>
        polling === undefined ? [] : [{ ...row, vcpu, polling }],
      ),
    ),
  columns: [
    ...vmKey<Row>(),
    { name: 'vcpu', doc: 'Number of the virtual CPU in its VM, from 0.', of: ({ vcpu }) => vcpu },
    { name: 'attempted', doc: 'How often it halted and polled.', of: ({ polling }) => polling.attempted },
    { name: 'successful', doc: 'Polls during which it was woken.', of: ({ polling }) => polling.successful },
    {
      name: 'invalid',
      doc: 'Wake-ups after which it halted without having run.',
      of: ({ polling }) => polling.invalid,
    },
    { name: 'success_ns', doc: 'Time of polls that were successful.', of: ({ polling }) => polling.successNs },
    { name: 'fail_ns', doc: 'Time of polls that were in vain.', of: ({ polling }) => polling.failNs },
  ],
});
