/* Where another CPU starts: real mode, CS:IP = 0700:0000; this is copied to AP_CODE. The boot CPU leaves three words
 * below it: stack, function, page directory (physical). */
#include "layout.h"

.code16
.globl ap_start
ap_start:
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  lgdt pointer
  movl %cr0, %eax
  orl $CR0_PE, %eax
  movl %eax, %cr0
  ljmpl $SEL_KCODE, $protected
.code32
protected:
  movw $SEL_KDATA, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movw $0, %ax
  movw %ax, %fs
  movw %ax, %gs
  movl %cr4, %eax
  orl $CR4_PSE, %eax
  movl %eax, %cr4
  movl (ap_start - 12), %eax
  movl %eax, %cr3
  movl %cr0, %eax
  orl $(CR0_PE | CR0_PG | CR0_WP), %eax
  movl %eax, %cr0
  movl (ap_start - 4), %esp
  call *(ap_start - 8)
1:
  jmp 1b

.balign 8
gdt:
  .quad 0
  .quad 0x00cf9a000000ffff
  .quad 0x00cf92000000ffff
pointer:
  .word pointer - gdt - 1
  .long gdt
