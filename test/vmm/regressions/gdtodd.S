# A GDT that is not aligned to 8 bytes.
.include "head.inc"
_start:
  mov $0x300000,%esp
  lgdt gdtr
  ljmp $8,$1f
1: mov $16,%ax ; mov %ax,%ds; mov %ax,%es; mov %ax,%ss; mov %ax,%fs
  mov $0x4b,%al; out %al,$0xe9
  mov $10,%al; out %al,$0xe9
  mov $0,%al; out %al,$0xf4
gdtr: .word 23; .long gdt
.align 4096
.byte 0,0
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
