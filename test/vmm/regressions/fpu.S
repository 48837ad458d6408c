# A floating-point instruction, which this CPU does not have.
.include "head.inc"
_start: fld1
1: jmp 1b
