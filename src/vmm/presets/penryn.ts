/**
 * Intel Xeon 5400 (Penryn), the last core without nested paging, as it was before the side-channel mitigations of 2018.
 * Calibration inputs, therefore not validation: its column of BNT17 Table 4.3 (intel-core.ts says what that is).
 */
import { from } from '../costs.ts';
import { CORE2_FAMILY, intelCore, vmxFrom } from './intel-core.ts';

export const penryn = intelCore({
  id: 'penryn',
  name: 'Intel Xeon 5400 (Penryn)',
  year: 2008,
  frequencyHz: from(3_000_000_000, 'our choice: clock of a Xeon E5450'),
  family: CORE2_FAMILY,
  vmx: vmxFrom(
    'Penryn',
    {
      vmresume: 643,
      vmcall: 638,
      cpuid: 611,
      pageFault: 858,
      ioBitmap: 708,
      vmread: 26,
      vmwrite: 26,
      vmclear: 63,
      vmptrld: 62,
    },
    false,
    false,
  ),
});
