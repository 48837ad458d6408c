/* Multiboot 1 start: a stack, then main(info). Source: Multiboot Specification 0.6.96. */
        .section .head, "ax"
        .balign 4
        .long 0x1BADB002, 3, -(0x1BADB002 + 3)
        .global _start
_start: mov $stack_top, %esp
        push %ebx
        cld
        call main
1:      cli
        hlt
        jmp 1b
        .bss
        .balign 16
        .skip 4096
stack_top:
