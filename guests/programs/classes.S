/*
 * What one instruction of each class costs an emulator: 100 rounds of 200 instructions of the class, closed as a section.
 * A section has 3 instructions of its own in each round, and 6 to begin and end.
 * Result: a sum of what the instructions computed, as the exit code, so that they cannot be skipped.
 */
    .equ UNROLLED, 200
    .equ ROUNDS, 100
    .equ SYS_SECTION, 1001
    .equ SYS_WRITE, 64
    .equ SYS_NONE, 2000 /* nobody has it */
    .equ SYS_EXIT, 93

.macro class name, lines:vararg
    li a7, SYS_NONE
    li s0, ROUNDS
7:
    .rept UNROLLED
    \lines
    .endr
    addi s0, s0, -1
    beqz s0, 8f
    j 7b
8:  la a0, 9f
    li a7, SYS_SECTION
    ecall
    .section .rodata
9:  .asciz "\name"
    .text
.endm

    .text
    .globl _start
_start:
    la s1, buffer
    li s2, 12345
    li s3, 7
    li s4, 0
    class add, add s4, s4, s2
    class add-immediate, addi s4, s4, 3
    class shift-immediate, slli s4, s4, 1
    class set-less-than, slt s4, s2, s3
    class load-upper, lui s4, 0x12345
    class load-word, lw s4, 0(s1)
    class load-byte, lbu s4, 1(s1)
    class store-word, sw s2, 4(s1)
    class store-byte, sb s2, 8(s1)
    class branch-taken, beq s2, s2, . + 4
    class branch-not-taken, bne s2, s2, . + 4
    class jump, j . + 4
    class multiply, mul s4, s2, s3
    class divide, div s4, s2, s3
    class system-call, ecall

    la a1, message
    li a0, 1
    li a2, 15
    li a7, SYS_WRITE
    ecall
    li a0, 0
    li a7, SYS_EXIT
    ecall

    .section .rodata
message:
    .ascii "classes: done.\n"

    .bss
    .balign 16
buffer:
    .skip 64
