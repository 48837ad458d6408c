# Runs through megabytes of zeros, which are instructions.
.include "head.inc"
_start: mov $0x200000,%eax
 jmp *%eax
