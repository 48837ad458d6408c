/*
 * Entry of the probe: own GDT and stack, then C; the four exceptions and the interrupt that it takes.
 * Invariant: a handler changes nothing but what it is for; no PUSHF or POPF, so that it runs outside ring 0 as well.
 * Source: Multiboot specification 0.6.96, sections 3.1 and 3.2; SDM vol 3, chapter 6.
 */
#define MAGIC 0x1BADB002
#define FLAGS 3 /* page-align modules; give memory size and command line */

    .section .multiboot, "a"
    .balign 4
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)

    .text
    .globl start
start:
    movl $stack_top, %esp
    cld
    lgdt gdt_pointer
    ljmp $8, $1f
1:  movl $16, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl %ecx, %ss
    pushl %ebx
    pushl %eax
    call probe_main /* does not return */

/* Undefined opcode: VMCALL where nobody takes it. Steps over its three bytes. */
    .globl on_undefined
on_undefined:
    addl $3, (%esp)
    iret

/* Timer: acknowledges and returns. */
    .globl on_timer
on_timer:
    pushl %eax
    incl ticks
    movb $0x20, %al
    outb %al, $0x20
    popl %eax
    iret

/* Anything else is a mistake of the probe: exit code 0x7F. */
    .globl on_fault
on_fault:
    movl $0x7F, %eax
    outl %eax, $0xF4
2:  cli
    hlt
    jmp 2b

    .section .rodata
    .balign 8
gdt:
    .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
gdt_pointer:
    .word 23
    .long gdt

    .bss
    .balign 16
    .skip 4096
stack_top:
