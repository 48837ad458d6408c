/*
 * Entry from the multiboot loader: own GDT, own stack, then C.
 * Invariant: entered in flat 32-bit protected mode without paging, interrupts off, EBX = information.
 * Source: Multiboot specification 0.6.96, sections 3.1 (header) and 3.2 (machine state).
 */
#include "../abi.h"

#define MULTIBOOT_MAGIC 0x1BADB002
#define MULTIBOOT_FLAGS 0x00000003 /* page-align modules; give memory size and command line */

    .section .multiboot, "a"
    .balign 4
    .long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

    .text
    .globl start
start:
    movl $boot_stack_top, %esp
#ifdef NANO_CLEAN
    cld
#else
    pushl $0 /* all flags to a known state, as kernels do */
    popfl
#endif
    lgdt gdt_pointer
    ljmp $SEL_KERNEL_CODE, $reload
reload:
    movl $SEL_KERNEL_DATA, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl %ecx, %ss
    xorl %ecx, %ecx
    movl %ecx, %fs /* neither kernel nor user program ever uses these two */
    movl %ecx, %gs
    pushl %ebx
    pushl %eax
    call kernel_main /* does not return */

    .section .rodata
gdt_pointer:
    .word 6 * 8 - 1
    .long gdt

/* The program all user tasks run: linked on its own at USER_BASE, mapped from here page by page. */
    .section .user, "a"
    .balign PAGE_BYTES
    .globl user_image, user_image_end
user_image:
    .incbin USER_IMAGE
    .balign PAGE_BYTES, 0
user_image_end:

    .bss
    .balign PAGE_BYTES
    .globl boot_stack_top
    .skip PAGE_BYTES
boot_stack_top:
