# A floating-point error with CR0.NE = 0: real PCs report it through FERR and IRQ 13, which this one lacks.
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
