# Unmaps the page of its GDT, then loads a segment.
.include "head.inc"
.set PD, 0x200000
.set PT, 0x201000
_start:
  mov $0x300000,%esp
  lgdt gdtr
  ljmp $8,$1f
1: mov $16,%ax ; mov %ax,%ds; mov %ax,%es; mov %ax,%ss; mov %ax,%fs
  movl $PT+7, PD
  xor %ecx,%ecx
2: mov %ecx,%eax ; shl $12,%eax; or $7,%eax; mov %eax,PT(,%ecx,4); inc %ecx; cmp $1024,%ecx; jne 2b
  mov $PD,%eax; mov %eax,%cr3
  mov %cr0,%eax; or $0x80000000,%eax; mov %eax,%cr0
  nop
  movl $0, PT+0x103*4      # unmap GDT page; no invlpg
  mov $24,%ax ; mov %ax,%fs
  mov %fs,%ax
  mov $0x4b,%al; out %al,$0xe9
  mov $0,%al; out %al,$0xf4
gdtr: .word 31; .long gdt
.align 4096
.skip 4096
.align 4096
gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cf93000000ffff
