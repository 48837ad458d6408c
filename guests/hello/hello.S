/*
 * The smallest guest: greets on the debug port and switches the machine off.
 * Invariant: needs no stack, no tables, no interrupts: good for the first day of a CPU emulator.
 * Source: Multiboot specification 0.6.96, section 3.
 */
    .section .multiboot, "a"
    .balign 4
    .long 0x1BADB002, 0, -0x1BADB002 /* magic, flags, checksum */

    .text
    .globl start
start:
    cli
    movl $message, %esi
    movw $0xE9, %dx
1:  movb (%esi), %al
    outb %al, %dx
    incl %esi
    cmpl $message_end, %esi
    jb 1b
    xorl %eax, %eax
    outl %eax, $0xF4
    movw $0x8900, %dx /* for Bochs, which has no port 0xF4: the word that follows the message */
2:  movb (%esi), %al
    outb %al, %dx
    incl %esi
    cmpl $power_off_end, %esi
    jb 2b
3:  hlt
    jmp 3b

    .section .rodata
message:
    .ascii "hello: a guest is running\n"
message_end:
    .ascii "Shutdown"
power_off_end:
