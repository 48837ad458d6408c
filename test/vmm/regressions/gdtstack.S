# The stack is in the page of the GDT. After many calls the data segment of FS gets another base, in the same GDT and
# then in another one: each load must see it.
.include "head.inc"
_start:
  mov $stack,%esp
  lgdt gdtr
  ljmp $8,$1f
1: mov $16,%ax ; mov %ax,%ds; mov %ax,%es; mov %ax,%ss
  mov $gdt,%edi
  call round
  call round
  lgdt gdtr2
  mov $gdt2,%edi
  call round
  mov $10,%al; out %al,$0xe9
  mov $0,%al; out %al,$0xf4
# Prints the letter at FS:0 for three bases; EDI has the GDT in use.
round:
  mov $3,%ebx
1: lea letters(%ebx),%eax
  mov %ax,26(%edi)
  mov $24,%ax; mov %ax,%fs
  mov %fs:0,%al; out %al,$0xe9
  mov $1500,%ecx
2: call 3f
  loop 2b
  dec %ebx
  jnz 1b
3: ret
letters: .ascii ".ABC"
.align 4096
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cf92100000ffff
gdt2: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cf92100000ffff
gdtr: .word 31; .long gdt
gdtr2: .word 31; .long gdt2
.space 256
stack:
