/**
 * Intel Xeon E5 v3 (Haswell), 2014, as it was before the side-channel mitigations of 2018.
 * Calibration inputs, therefore not validation: its column of BNT17 Table 4.3 (intel-core.ts says what that is).
 */
import { from } from '../costs.ts';
import { HASWELL_FAMILY, intelCore, vmxFrom } from './intel-core.ts';

export const haswell = intelCore({
  id: 'haswell',
  name: 'Intel Xeon E5 v3 (Haswell)',
  year: 2014,
  frequencyHz: from(2_600_000_000, 'our choice: base clock of a Xeon E5-2690 v3'),
  family: HASWELL_FAMILY,
  vmx: vmxFrom(
    'Haswell',
    {
      vmresume: 318,
      vmcall: 253,
      cpuid: 327,
      pageFault: 512,
      ioBitmap: 383,
      ept: from(604, 'BNT17 Table 4.3, Haswell, EPT violation'),
      vmread: 5,
      vmwrite: 4,
      vmclear: 101,
      vmptrld: 99,
    },
    true,
    true,
  ),
});
