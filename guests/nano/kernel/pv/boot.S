/*
 * First instructions of the paravirtual kernel: in ring 1, paging on, all memory mapped one to one, events masked.
 * Invariant: entered with EAX and EBX as by a Multiboot loader, ESI = start information, flat segments loaded.
 * Source: our own; docs/paravirtual.md. Multiboot specification 0.6.96 for the header.
 */
#include "../../abi.h"
#include "abi.h"

#define MULTIBOOT_MAGIC 0x1BADB002
#define MULTIBOOT_FLAGS 0x00000003

    .section .multiboot, "a"
    .balign 4
    .long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
    .long PV_MAGIC, PV_VERSION, -(PV_MAGIC + PV_VERSION)

    .text
    .globl start
start:
    movl $boot_stack_top, %esp
    cld
    movl %esi, pv_start
    movl 8(%esi), %ecx
    movl %ecx, pv_shared
    xorl %ecx, %ecx
    movl %ecx, %fs
    movl %ecx, %gs
    pushl %ebx
    pushl %eax
    call kernel_main /* does not return */

    .section .user, "a"
    .balign PAGE_BYTES
    .globl user_image, user_image_end
user_image:
    .incbin USER_IMAGE
    .balign PAGE_BYTES, 0
user_image_end:

    .bss
    .balign PAGE_BYTES
    .globl boot_stack_top, pv_start, pv_shared
    .skip PAGE_BYTES
boot_stack_top:
pv_start:
    .skip 4
pv_shared:
    .skip 4
