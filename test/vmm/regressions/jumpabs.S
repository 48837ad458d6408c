# Jumps to an address where there is no RAM.
.include "head.inc"
_start: mov $0xf0000000,%eax
 jmp *%eax
