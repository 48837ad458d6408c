/*
 * First words of the user program, which the kernel reads, and its first instructions.
 * Invariant: struct image_header of kernel/vm.c: entry, start and end of zeroed memory.
 */
#include "../abi.h"

    .section .header, "a"
    .long entry, bss_start, bss_end

    .text
    .globl entry
entry:
    call main
    movl %eax, %ebx
    movl $SYS_EXIT, %eax
    int $VECTOR_SYSCALL
