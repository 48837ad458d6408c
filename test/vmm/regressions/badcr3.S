# CR3 points outside RAM when paging goes on.
.include "head.inc"
_start: mov $0xf0000000,%eax
 mov %eax,%cr3
 mov %cr0,%eax
 or $0x80000000,%eax
 mov %eax,%cr0
 nop
1: jmp 1b
