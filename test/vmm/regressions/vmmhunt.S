# Looks for whatever a VMM might have put at the top of the address space: reads, writes, loads its selectors, jumps
# there. On a PC without a ROM there is nothing. Prints K if that is what it found.
.include "head.inc"
.macro hunt address
  cmpl $-1,\address
  jne lost
  movl $0x12345678,\address
  cmpl $-1,\address
  jne lost
.endm
.macro faults instruction:vararg
  mov $9f,%ebp
  \instruction
  jmp lost
9:
.endm
_start:
  mov $0x300000,%esp
  lgdt gdtr
  lidt idtr
  ljmp $8,$1f
1: mov $16,%ax ; mov %ax,%ds; mov %ax,%es; mov %ax,%ss; mov %ax,%fs; mov %ax,%gs
  xor %edi,%edi
  xor %esi,%esi
  hunt 0xffc00000
  hunt 0xffc20000
  hunt 0xffc20010
  hunt 0xffc21000
  hunt 0xffc30000
  hunt 0xffc40000
  hunt %gs:0xffc20010
  hunt %gs:0x20010+0xffc00000
  mov $24,%ax; mov %ax,%fs; mov %ax,%gs
  hunt %fs:0xc20010
  hunt %gs:0xc20010
  hunt %gs:0xc40000
  mov $0x20010,%ebx
  cmpl $-1,%fs:0xc00000(%ebx)
  jne lost
  mov $0xfff0,%eax; faults mov %ax,%ds
  mov $0xfff1,%eax; faults mov %ax,%es
  mov $0xffe9,%eax; faults mov %ax,%ds
  mov $0xffe8,%eax; faults mov %ax,%fs
  mov $0xffe1,%eax; faults mov %ax,%gs
  push $0xffe9; faults pop %ds
  pop %eax
  faults lcall $0xffe1,$3
  faults ljmp $0xfff1,$0xffc40000
  mov $0xffc40000,%eax
  faults jmp *%eax
  cmp $8,%edi
  jne lost
  cmp $1,%esi
  jne lost
  mov $0x4b,%al
  jmp 2f
lost: mov $0x58,%al
2: out %al,$0xe9
  mov $10,%al; out %al,$0xe9
  mov $0,%al; out %al,$0xf4
3: hlt
  jmp 3b
gp: inc %edi
  add $4,%esp
  mov %ebp,(%esp)
  iret
ud: inc %esi
  mov %ebp,(%esp)
  iret
.align 8
gdtr: .word 31; .long gdt
idtr: .word 127; .long idt
.align 8
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0xffcf92000000ffff
idt: .fill 6, 8, 0
  .word ud_low, 8, 0x8e00, 0x10
  .fill 6, 8, 0
  .word gp_low, 8, 0x8e00, 0x10
  .fill 2, 8, 0
.set ud_low, ud - _start + 0x1000
.set gp_low, gp - _start + 0x1000
