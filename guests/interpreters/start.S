/*
 * Multiboot header, stack, and the call of runtime_start. Flat segments as the loader left them, interrupts off.
 * Source: Multiboot specification 0.6.96, section 3.
 */
    .section .multiboot, "a"
    .balign 4
    .long 0x1BADB002, 3, -0x1BADB005 /* magic; modules at page boundaries and memory sizes, please; checksum */

    .text
    .globl start
start:
    cli
    cld
    movl $stack_top, %esp
    xorl %ebp, %ebp
    pushl %ebx
    pushl %eax
    call runtime_start

    .bss
    .balign 16
    .globl stack_bottom
stack_bottom:
    .skip 262144
stack_top:
