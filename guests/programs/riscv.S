/*
 * Start of an RV32 program as Linux starts one: sp points at argc, the arguments and their end. The command line of the
 * other builds is the arguments joined by blanks.
 * Source: RISC-V ELF psABI; the system-call numbers are those of Linux (asm-generic/unistd.h): a7 = number, a0-a2.
 */
    .text
    .globl _start
_start:
    lw a0, 0(sp)
    addi a1, sp, 4
    andi sp, sp, -16
    call riscv_main
    li a7, 93
    ecall
