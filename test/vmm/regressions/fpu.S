# The floating-point unit: numbers (pi x 10^8, four arctangents of 1), a division by zero that the next instruction
# reports (#MF), and the unit closed by CR0.TS (#NM).
.include "head.inc"
_start:
  mov $0x300000,%esp
  lgdt gdtr
  ljmp $8,$1f
1: mov $16,%ax; mov %ax,%ds; mov %ax,%es; mov %ax,%ss
  mov $nm,%eax; mov $idt+7*8,%edi; call gate
  mov $mf,%eax; mov $idt+16*8,%edi; call gate
  lidt idtr
  mov %cr0,%eax; or $0x22,%eax; mov %eax,%cr0
  fninit
  fldpi
  fmuls e8
  fistpl n
  mov n,%eax
  mov $10,%ebx
  xor %ecx,%ecx
2: xor %edx,%edx; div %ebx; push %edx; inc %ecx; test %eax,%eax; jnz 2b
3: pop %eax; add $0x30,%al; out %al,$0xe9; loop 3b
  fld1; fld1; fpatan
  fmuls four
  fldpi
  fucomip %st(1),%st
  mov $0x45,%al; je 4f; mov $0x58,%al
4: out %al,$0xe9
  fldcw control
  fld1
  fdivs zero
  mov $0x44,%al; out %al,$0xe9
  fwait
  mov %cr0,%eax; or $8,%eax; mov %eax,%cr0
  fnop
  mov $10,%al; out %al,$0xe9
  mov $0,%al; out %al,$0xf4
gate: mov %ax,(%edi); movw $8,2(%edi); movw $0x8e00,4(%edi); shr $16,%eax; mov %ax,6(%edi); ret
mf: mov $0x4d,%al; out %al,$0xe9; fnclex; iret
nm: mov $0x4e,%al; out %al,$0xe9; clts; iret
.align 4
e8: .float 100000000
four: .float 4
zero: .float 0
control: .word 0x37b
.align 8
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr: .word 23; .long gdt
idtr: .word 255; .long idt
.align 4096
n: .long 0
.align 4096
idt: .fill 256
