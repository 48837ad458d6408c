# One store, to a page table (T) or to plain memory (H), as the letters of the command line say: what adaptive translation
# makes of it is in translator.test.ts. The store changes nothing: each place gets what it holds. Prints the number of stores.
.include "head.inc"
.set PD, 0x200000
.set PT, 0x201000
.set PLAIN, 0x202000
_start:
  mov $0x300000, %esp
  mov 16(%ebx), %esi              # command line
  # The first 4 MiB as they are, in pages of 4 KiB.
  mov $PT, %edi
  mov $3, %eax
  mov $1024, %ecx
  cld
1: stosl
  add $0x1000, %eax
  loop 1b
  movl $PT+3, PD
  mov $PD, %eax
  mov %eax, %cr3
  mov %cr0, %eax
  or $0x80000000, %eax
  mov %eax, %cr0
  # The first access to each page is not what counts.
  mov PT+0x800, %eax
  movl $0, PLAIN
  xor %ebp, %ebp
next:
  mov (%esi), %al
  inc %esi
  test %al, %al
  jz done
  mov $PT+0x800, %edi
  cmp $'T', %al
  je 2f
  mov $PLAIN, %edi
  cmp $'H', %al
  jne next
2: mov (%edi), %eax
  call store
  inc %ebp
  jmp next
done:
  mov %ebp, %eax
  mov $10, %ecx
  mov $0, %edi
3: xor %edx, %edx
  div %ecx
  add $'0', %edx
  push %edx
  inc %edi
  test %eax, %eax
  jnz 3b
4: pop %eax
  out %al, $0xe9
  dec %edi
  jnz 4b
  mov $10, %al
  out %al, $0xe9
  mov $0, %al
  out %al, $0xf4
store:
  mov %eax, (%edi)
  ret
