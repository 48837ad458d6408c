/**
 * Intel Xeon E5 (Sandy Bridge), 2011, as it was before the side-channel mitigations of 2018.
 * Calibration inputs, therefore not validation: its column of BNT17 Table 4.3 (intel-core.ts says what that is).
 */
import { from } from '../costs.ts';
import { intelCore, SANDY_BRIDGE_FAMILY, vmxFrom } from './intel-core.ts';

export const sandyBridge = intelCore({
  id: 'sandy-bridge',
  name: 'Intel Xeon E5 (Sandy Bridge)',
  year: 2011,
  frequencyHz: from(2_900_000_000, 'our choice: base clock of a Xeon E5-2690'),
  family: SANDY_BRIDGE_FAMILY,
  vmx: vmxFrom(
    'Sandy Bridge',
    {
      vmresume: 460,
      vmcall: 365,
      cpuid: 434,
      pageFault: 507,
      ioBitmap: 472,
      ept: from(588, 'BNT17 Table 4.3, Sandy Bridge, EPT violation'),
      vmread: 5,
      vmwrite: 4,
      vmclear: 56,
      vmptrld: 62,
    },
    true,
    true,
  ),
});
