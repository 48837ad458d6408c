# Far call and far return to descriptors whose accessed bit is clear.
.include "head.inc"
.set PD, 0x200000
.set PT, 0x201000
_start:
  mov $0x300000,%esp
  movl $PT+7, PD
  xor %ecx,%ecx
2: mov %ecx,%eax ; shl $12,%eax; or $7,%eax; mov %eax,PT(,%ecx,4); inc %ecx; cmp $1024,%ecx; jne 2b
  mov $PD,%eax; mov %eax,%cr3
  mov %cr0,%eax; or $0x80000000,%eax; mov %eax,%cr0
  lgdt gdtr
  lcall $24,$far
  cmp $0x300000,%esp
  mov $0x4b,%al; je 1f; mov $0x58,%al
1: out %al,$0xe9
  mov $0x300000,%esp
  pushl $32; pushl $3f; lret
3: cmp $0x300000,%esp
  mov $0x4b,%al; je 1f; mov $0x58,%al
1: out %al,$0xe9
  mov $10,%al; out %al,$0xe9
  mov $0,%al; out %al,$0xf4
far: mov $0x46,%al; out %al,$0xe9
  add $8,%esp
  jmp *-8(%esp)
gdtr: .word 39; .long gdt
.align 4096
gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cf9a000000ffff,0x00cf9a000000ffff
