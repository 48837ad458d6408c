# A floating-point error with CR0.NE = 0 and interrupts off: the CPU stands still before FWAIT for ever, as FERR is interrupt 13.
.include "head.inc"
_start:
  fninit
  fldcw control
  fld1
  fdivs zero
  fwait
  mov $0,%al; out %al,$0xf4
.align 4
zero: .float 0
control: .word 0x37b
