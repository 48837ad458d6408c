/* Multiboot 1 start of a probe kernel: own stack, own GDT, then kernel_main(magic, info).
 * Source: Multiboot Specification 0.6.96, 3.1 and 3.2. */
        .set MAGIC, 0x1BADB002
        .set FLAGS, 3

        .section .multiboot, "a"
        .balign 4
        .long MAGIC, FLAGS, -(MAGIC + FLAGS)

        .text
        .global _start
_start:
        mov $kernel_stack_top, %esp
        push %ebx
        push %eax
        call setup_tables
        ljmp $0x08, $1f
1:      mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %fs
        mov %eax, %gs
        mov %eax, %ss
        call setup_task
        call kernel_main
        push $0
        call finish

        .bss
        .balign 4096
        .skip 8192
kernel_stack_top:
