/**
 * Why an instruction does something else when a guest kernel is deprivileged, in words for students.
 * Invariant: one entry per instruction that is sensitive but does not trap at CPL > 0 on IA-32.
 * Source: Robin & Irvine, USENIX Security 2000; Intel SDM vol 2, the instruction's own page.
 */

const HOLES: Readonly<Record<string, string>> = {
  popf:
    'POPF loads the flags from the stack. At CPL 0 that includes the interrupt flag. With less privilege than IOPL asks ' +
    'for, the processor keeps the old interrupt flag and says nothing: no exception, so the VMM never hears of it.',
  pushf:
    'PUSHF stores the flags of the real processor. The guest believes to see its own interrupt flag, but the VMM keeps ' +
    'the real one set all the time, whatever the guest asked for.',
  iret:
    'IRET to the same ring restores the flags like POPF does, and like POPF it leaves the interrupt flag alone when the ' +
    'privilege is too low.',
  sgdt: 'SGDT stores the register that says where the descriptor table is. It is the table of the VMM, not that of the guest.',
  sidt: 'SIDT stores the register that says where the interrupt table is. It is the table of the VMM: the "red pill".',
  sldt: 'SLDT stores the selector of the local descriptor table that is really loaded: the one of the VMM.',
  str: 'STR stores the selector of the task register that is really loaded: the one of the VMM.',
  smsw: 'SMSW stores the low half of CR0, and at any privilege. The guest sees the bits that the VMM has set for itself.',
  lar:
    'LAR stores the access rights of a descriptor. The VMM has moved the kernel segments from ring 0 to an outer ring, and ' +
    'that shows; a segment of ring 0 is not visible from there at all.',
  lsl:
    'LSL stores the limit of a segment. The VMM has cut the guest segments short to keep a part of the address space for ' +
    'itself, and that shows.',
  verr: 'VERR asks whether a segment could be read from the current privilege level. The answer is another one at CPL 1.',
  verw: 'VERW asks whether a segment could be written from the current privilege level. The answer is another one at CPL 1.',
  mov: 'Reading a segment register shows the privilege level of the code in its two low bits: 1 or 3 where 0 is expected.',
  push: 'PUSH of a segment register shows the privilege level of the code in its two low bits: 1 or 3 where 0 is expected.',
  pop: 'POP to a segment register checks the descriptor against the real privilege level.',
  call: 'A far CALL checks the target against the real privilege level.',
  jmp: 'A far JMP checks the target against the real privilege level.',
  ret: 'A far RET checks the target against the real privilege level.',
  int: 'INT goes through the interrupt table that is really loaded.',
};

/** An explanation of the hole, or undefined for an instruction without one. */
export function explainHole(mnemonic: string): string | undefined {
  const name = mnemonic.toLowerCase().split(' ')[0] ?? '';
  return HOLES[name] ?? HOLES[name.replace(/[dq]$/, '')];
}
