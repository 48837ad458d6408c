/*
 * Starts the prime guest: a stack, the C part, and off.
 * Source: Multiboot specification 0.6.96, section 3.1.
 */
#include "wild/wild.inc"
    .globl kernel_main
start:
    movl $stack_end, %esp
    call kernel_main
    power_off 0

    .bss
    .balign 16
    .skip 4096
stack_end:
