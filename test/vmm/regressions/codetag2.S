# Runs the same page as 32-bit and as 16-bit code.
.include "head.inc"
.set P, 0x00401000
_start:
  mov $stack,%esp
  # PD1, PD2: identity 4 MiB page at 0 (PSE), PT for 0x400000
  mov %cr4,%eax; or $0x10,%eax; mov %eax,%cr4
  movl $0x83, pd1 ; movl $0x83, pd2
  movl $pt1+3, pd1+4 ; movl $pt2+3, pd2+4
  movl $codeA+3, pt1+4 ; movl $codeB+3, pt2+4
  mov $pd1,%eax; mov %eax,%cr3
  mov %cr0,%eax; or $0x80000000,%eax; mov %eax,%cr0
  mov $P,%ebx
  call *%ebx ; out %al,$0xe9
  mov $pd2,%eax; mov %eax,%cr3
  mov $P,%ebx
  call *%ebx ; out %al,$0xe9
  movl $codeA+3, pt2+4
  invlpg P
  mov $P,%ebx
  call *%ebx ; out %al,$0xe9
  mov $10,%al ; out %al,$0xe9
  out %al,$0xf4
.align 4096
codeA: mov $0x41,%al ; ret
.align 4096
codeB: mov $0x42,%al ; ret
.bss
.align 4096
pd1: .skip 4096
pd2: .skip 4096
pt1: .skip 4096
pt2: .skip 4096
.skip 4096
stack:
