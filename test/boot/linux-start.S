/* The 32-bit entry of the bzImage: ESI = boot parameters. The data segments must be loaded only by a BIOS loader's
 * set-up code, which does not: here they are. */
        .section .head, "ax"
        .global _start
_start: mov %ds, %ecx
        mov $0x18, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov $stack_top, %esp
        cld
        push %ecx
        push %esi
        call main
        .bss
        .balign 16
        .skip 4096
stack_top:
