/*
 * Where the boot CPU comes from the Multiboot loader, where the others come from a start-up message, and the door of traps.
 * Invariants: the trampoline is copied to TRAMPOLINE and runs there; CPUs start one at a time, so one word tells the stack.
 * Source: Multiboot specification 0.6.96, 3.1 and 3.2; MultiProcessor Specification 1.4, appendix B.4.
 */
#include "layout.h"

    .section .multiboot, "a"
    .balign 4
    .long 0x1BADB002, 0x3, -(0x1BADB002 + 0x3)

    .text
    .globl start
start:
    movl $stacks + STACK_BYTES, %esp
    cld
    lgdt gdt_pointer
    ljmp $SEL_CODE, $1f
1:  movl $SEL_DATA, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl %ecx, %ss
    xorl %ecx, %ecx
    movl %ecx, %fs
    movl %ecx, %gs
    pushl %ebx
    pushl %eax
    call boot_main /* does not return */

/* Data here: it runs elsewhere, and is not 32-bit code for disassemblers. */
    .section .rodata
    .globl trampoline, trampoline_end
    .code16
trampoline:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl TRAMPOLINE + (trampoline_gdt - trampoline)
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $SEL_CODE, $(TRAMPOLINE + (1f - trampoline))
    .code32
1:  movl $SEL_DATA, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl %ecx, %ss
    xorl %ecx, %ecx
    movl %ecx, %fs
    movl %ecx, %gs
    cld
    movl next_stack, %esp
    movl $other_main, %eax
    call *%eax /* does not return */
    .balign 4
trampoline_gdt:
    .word GDT_BYTES - 1
    .long gdt
trampoline_end:

    .text
/* Each vector has STUB_BYTES of code; where the CPU pushes no error code, zero takes its place. */
    .globl stubs
    .balign STUB_BYTES
stubs:
    .set n, 0
    .rept IDT_COUNT
    .balign STUB_BYTES
    .if !(n == 8 || (n >= 10 && n <= 14) || n == 17)
    pushl $0
    .endif
    pushl $n
    jmp common
    .set n, n + 1
    .endr
common:
    pushal
    cld
    pushl %esp
    call trap
    addl $4, %esp
    popal
    addl $8, %esp
    iretl

    .section .rodata
gdt_pointer:
    .word GDT_BYTES - 1
    .long gdt

/* Accessed from the start: the CPU has nothing to write. */
    .data
    .balign 8
    .globl gdt
gdt:
    .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF

    .bss
    .balign STACK_BYTES
    .globl stacks
stacks:
    .skip CPUS_MAX * STACK_BYTES
