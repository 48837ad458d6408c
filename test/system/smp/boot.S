/* Multiboot start of the SMP kernel, the start-up code of application processors, and interrupt entries.
 * The start-up code is copied to ap_page and runs there in real mode, then in protected mode, then in the kernel.
 * Sources: Multiboot Specification 0.6.96; MultiProcessor Specification 1.4, appendix B.4. */
        .set AP_PAGE, 0x7000

        .section .multiboot, "a"
        .balign 4
        .long 0x1BADB002, 0x3, -(0x1BADB002 + 0x3)

        .text
        .global _start
_start: mov $boot_stack_top, %esp
        lgdt gdt_pointer
        ljmp $0x08, $1f
1:      mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %fs
        mov %eax, %gs
        mov %eax, %ss
        call boot_main
2:      cli
        hlt
        jmp 2b

        .global ap_code, ap_code_end
        .code16
ap_code:
        cli
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        lgdtl AP_PAGE + (ap_gdt_pointer - ap_code)
        mov %cr0, %eax
        or $1, %eax
        mov %eax, %cr0
        ljmpl $0x08, $(AP_PAGE + (ap_protected - ap_code))
        .code32
ap_protected:
        mov $0x10, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        xor %ax, %ax
        mov %ax, %fs
        mov %ax, %gs
        mov ap_stack, %esp
        mov $ap_main, %eax
        call *%eax
3:      cli
        hlt
        jmp 3b
        .balign 4
ap_gdt_pointer:
        .word 23
        .long gdt
ap_code_end:

        .balign 4
gdt_pointer:
        .word 23
        .long gdt

/* Vectors 0 to 255, 16 bytes apart, with an error code of 0 where the CPU pushes none. */
        .global stubs
        .balign 16
stubs:  .set n, 0
        .rept 256
        .balign 16
        .if !(n == 8 || (n >= 10 && n <= 14) || n == 17)
        push $0
        .endif
        push $n
        jmp common
        .set n, n + 1
        .endr
common: pusha
        push %esp
        call trap
        add $4, %esp
        popa
        add $8, %esp
        iret

        .data
        .balign 8
gdt:    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff

        .bss
        .balign 16
        .skip 8192
boot_stack_top:
