/**
 * Intel Xeon 5600 (Westmere), 2010, as it was before the side-channel mitigations of 2018.
 * Calibration inputs, therefore not validation: its column of BNT17 Table 4.3 (intel-core.ts says what that is).
 */
import { from } from '../costs.ts';
import { intelCore, NEHALEM_FAMILY, vmxFrom } from './intel-core.ts';

export const westmere = intelCore({
  id: 'westmere',
  name: 'Intel Xeon 5600 (Westmere)',
  year: 2010,
  frequencyHz: from(2_930_000_000, 'our choice: base clock of a Xeon X5670'),
  family: NEHALEM_FAMILY,
  vmx: vmxFrom(
    'Westmere',
    {
      vmresume: 402,
      vmcall: 344,
      cpuid: 389,
      pageFault: 569,
      ioBitmap: 427,
      ept: from(546, 'BNT17 Table 4.3, Westmere, EPT violation'),
      vmread: 6,
      vmwrite: 5,
      vmclear: 93,
      vmptrld: 91,
    },
    true,
    true,
  ),
});
