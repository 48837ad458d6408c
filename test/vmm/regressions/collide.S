# Two functions whose addresses share a slot of a translator's table of indirect targets, called in turn 40000 times each:
# a multiple of 8 KiB apart. Prints K when both were called that often.
.include "head.inc"
.set FAR, 0x500000
_start:
  mov $0x300000, %esp
  # The second function is the first one's code, elsewhere, with another counter.
  mov $first, %esi
  mov $FAR, %edi
  and $0x1fff, %esi
  add %esi, %edi
  mov %edi, %ebp
  mov $second_end - second, %ecx
  mov $second, %esi
  cld
  rep movsb
  xor %ebx, %ebx
  xor %edx, %edx
  mov $40000, %ecx
1: mov $first, %eax
  call *%eax
  call *%ebp
  dec %ecx
  jnz 1b
  cmp $40000, %ebx
  jne 2f
  cmp $40000, %edx
  jne 2f
  mov $'K', %al
  out %al, $0xe9
2: mov $10, %al
  out %al, $0xe9
  mov $0, %al
  out %al, $0xf4
.balign 4096
first:
  inc %ebx
  ret
second:
  inc %edx
  ret
second_end:
