/**
 * Intel Xeon E5 v2 (Ivy Bridge), 2013, as it was before the side-channel mitigations of 2018.
 * Calibration inputs, therefore not validation: its column of BNT17 Table 4.3 (intel-core.ts says what that is).
 */
import { from } from '../costs.ts';
import { intelCore, SANDY_BRIDGE_FAMILY, vmxFrom } from './intel-core.ts';

export const ivyBridge = intelCore({
  id: 'ivy-bridge',
  name: 'Intel Xeon E5 v2 (Ivy Bridge)',
  year: 2013,
  frequencyHz: from(3_000_000_000, 'our choice: base clock of a Xeon E5-2690 v2'),
  family: SANDY_BRIDGE_FAMILY,
  vmx: vmxFrom(
    'Ivy Bridge',
    {
      vmresume: 452,
      vmcall: 334,
      cpuid: 398,
      pageFault: 466,
      ioBitmap: 436,
      ept: from(588, 'our choice: as Sandy Bridge, BNT17 Table 4.3 leaves it blank'),
      vmread: 4,
      vmwrite: 3,
      vmclear: 50,
      vmptrld: 57,
    },
    true,
    true,
  ),
});
