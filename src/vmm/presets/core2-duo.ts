/**
 * Intel Core 2 Duo (Merom, 2.66 GHz, 2006): the second machine of Adams & Agesen, "A Comparison of Software and Hardware
 * Techniques for x86 Virtualization", ASPLOS 2006 ("AA06"), a pre-production part.
 * Calibration inputs, therefore not validation: AA06 Table 1 and the column of BNT17 Table 4.3 (see intel-core.ts).
 */
import { from } from '../costs.ts';
import { CORE2_FAMILY, intelCore, vmxFrom } from './intel-core.ts';

const AA06_TABLE_1 = 'Adams & Agesen 2006, Table 1, Core 2 Duo';

const table = vmxFrom(
  'Merom',
  {
    vmresume: 944,
    vmcall: 727,
    cpuid: 764,
    pageFault: 1156,
    ioBitmap: 858,
    vmread: 53,
    vmwrite: 43,
    vmclear: 70,
    vmptrld: 66,
  },
  false,
  false,
);

export const core2Duo = intelCore({
  id: 'core2-duo',
  name: 'Intel Core 2 Duo (Merom)',
  year: 2006,
  frequencyHz: from(2_660_000_000, 'Adams & Agesen 2006, second test machine'),
  family: CORE2_FAMILY,
  vmx: {
    ...table,
    entryCycles: from(937, AA06_TABLE_1),
    exitCycles: {
      ...table.exitCycles,
      'page-fault': from(1186, AA06_TABLE_1),
      exception: from(1186, `${AA06_TABLE_1}, page-fault exit, for every exception`),
    },
    vmreadCycles: from(52, AA06_TABLE_1),
    vmwriteCycles: from(44, AA06_TABLE_1),
  },
});
