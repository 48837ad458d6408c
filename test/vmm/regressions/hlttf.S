# HLT with TF set and interrupts off: the single-step trap that follows it ends the wait. Counts four of them.
.include "head.inc"
_start:
  mov $0x300000,%esp
  lgdt gdtr
  ljmp $8,$1f
1: mov $16,%ax ; mov %ax,%ds; mov %ax,%es; mov %ax,%ss
  lidt idtr
  xor %ebx,%ebx
  pushf; orl $0x100,(%esp); popf
  hlt
  pushf; andl $~0x100,(%esp); popf
  nop
  mov %bl,%al; add $0x30,%al; out %al,$0xe9
  mov $10,%al; out %al,$0xe9
  mov $0,%al; out %al,$0xf4
.align 4096
db: inc %ebx
  iret
.align 4096
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr: .word 23; .long gdt
idtr: .word 255; .long idt
.align 4096
idt: .long 0,0
 .word 0x2000,8,0x8e00,0x10
