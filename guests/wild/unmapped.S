/*
 * Turns paging on with only the first 4 MiB mapped, then jumps far outside them, without an IDT.
 * Expected: #PF on the fetch (CR2 = 0x80000000), then #DF, then shutdown.
 * Source: Intel SDM volume 3, 32-bit paging with 4 MiB pages.
 */
#include "wild.inc"
start:
    lidt no_idt
    movl $0x00000083, directory /* present, writable, 4 MiB, at physical 0 */
    movl %cr4, %eax
    orl $0x10, %eax /* PSE */
    movl %eax, %cr4
    movl $directory, %eax
    movl %eax, %cr3
    movl %cr0, %eax
    orl $0x80000000, %eax /* PG */
    movl %eax, %cr0
    print "wild-unmapped: paging on\n"
    movl $0x80000000, %eax
    jmp *%eax
no_idt:
    .word 0
    .long 0

    .bss
    .balign 4096
directory:
    .skip 4096
