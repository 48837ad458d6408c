/* Boot code of the higher-half kernel: runs at its physical address until paging is on. */
        .set KERNEL_VIRTUAL_BASE, 0xC0000000
        .set KERNEL_PAGE, KERNEL_VIRTUAL_BASE >> 22

        .section .multiboot, "a"
        .balign 4
        .long 0x1BADB002, 0x3, -(0x1BADB002 + 0x3)

        .section .data
        .balign 4096
        .global boot_page_directory
boot_page_directory:
        .long 0x00000083
        .fill KERNEL_PAGE - 1, 4, 0
        .long 0x00000083
        .fill 1024 - KERNEL_PAGE - 1, 4, 0

        .section .text
        .global _start
        .set start, start_high - KERNEL_VIRTUAL_BASE
        .global start
start_high:
        mov $(boot_page_directory - KERNEL_VIRTUAL_BASE), %ecx
        mov %ecx, %cr3
        mov %cr4, %ecx
        or $0x10, %ecx
        mov %ecx, %cr4
        mov %cr0, %ecx
        or $0x80000000, %ecx
        mov %ecx, %cr0
        lea higher, %ecx
        jmp *%ecx
higher: movl $0, boot_page_directory
        invlpg 0
        mov $stack_top, %esp
        push %ebx
        push %eax
        call kernel_main
1:      cli
        hlt
        jmp 1b

        .section .bss
        .balign 32
        .skip 16384
stack_top:
