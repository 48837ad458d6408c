/* Where the loader jumps to: flat 32-bit protected mode, paging off. The code is linked high but runs low until it has
 * page tables; therefore the entry point is a physical address. */
#include "layout.h"

.section .multiboot, "ax"
.balign 4
  .long 0x1badb002, 0, -0x1badb002

.globl start
start = start_high - KERNEL_BASE

.text
start_high:
  movl %ebx, boot_info - KERNEL_BASE
  movl %cr4, %eax
  orl $CR4_PSE, %eax
  movl %eax, %cr4
  movl $(boot_directory - KERNEL_BASE), %eax
  movl %eax, %cr3
  movl %cr0, %eax
  orl $(CR0_PG | CR0_WP), %eax
  movl %eax, %cr0
  movl $(boot_stack + KSTACK), %esp
  movl $kernel_main, %eax /* by register: a relative jump would stay low */
  jmp *%eax

/* The old context is pushed on its stack, *(first argument) points to it; the second argument becomes the new one. */
.globl switch_context
switch_context:
  movl 4(%esp), %eax
  movl 8(%esp), %ecx
  pushl %ebx
  pushl %ebp
  pushl %esi
  pushl %edi
  movl %esp, (%eax)
  movl %ecx, %esp
  popl %edi
  popl %esi
  popl %ebp
  popl %ebx
  ret

/* 256 stubs that push an error code, where the CPU does not, and their number. */
.altmacro
.macro stub number
stub\number:
  .if (\number != 8) && (\number < 10 || \number > 14) && (\number != 17)
    pushl $0
  .endif
  pushl $\number
  jmp trap_all
  .pushsection .data
    .long stub\number
  .popsection
.endm
.data
.globl trap_stubs
trap_stubs:
.text
.set n, 0
.rept 256
  stub %n
  .set n, n + 1
.endr

trap_all:
  pushl %ds
  pushl %es
  pushl %fs
  pushl %gs
  pushal
  movw $SEL_KDATA, %ax
  movw %ax, %ds
  movw %ax, %es
  movw $SEL_KCPU, %ax
  movw %ax, %gs
  pushl %esp
  call trap
  addl $4, %esp
.globl trap_return
trap_return:
  popal
  popl %gs
  popl %fs
  popl %es
  popl %ds
  addl $8, %esp
  iret

.data
.globl ap_code, ap_code_end, first_code, first_code_end
ap_code: .incbin "build/ap.bin"
ap_code_end:
first_code: .incbin "build/first.bin"
first_code_end:

.comm boot_stack, KSTACK
.comm boot_info, 4
