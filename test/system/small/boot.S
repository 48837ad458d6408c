/* Multiboot start of the small kernels: stack, global constructors if any, kernel_main(magic, info), then HLT for good. */
        .section .multiboot, "a"
        .balign 4
        .long 0x1BADB002, 0x3, -(0x1BADB002 + 0x3)

        .section .bss
        .balign 16
stack_bottom:
        .skip 16384
stack_top:

        .section .text
        .global _start
_start: mov $stack_top, %esp
        push %ebx
        push %eax
        call kernel_main
1:      cli
        hlt
        jmp 1b
