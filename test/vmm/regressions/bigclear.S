# Clears the low 64 KiB with REP STOS before its first LGDT.
.include "head.inc"
_start: xor %edi,%edi; xor %eax,%eax; mov $0x4000,%ecx; cld; rep stosl
 mov $0x4b,%al; out %al,$0xe9
 mov $10,%al; out %al,$0xe9
 mov $0,%al; out %al,$0xf4
