# Rewrites an instruction that crosses a page, again and again.
.include "head.inc"
_start: mov $0x300000,%esp
1: movb $0xb8, tgt
   call tgt
   jmp 1b
.align 4096
.skip 4094
tgt: mov $1,%eax
 ret
