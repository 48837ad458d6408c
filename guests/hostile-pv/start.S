/*
 * First instructions of the hostile paravirtual kernel, and its headers.
 * Invariant: as guests/nano/kernel/pv/boot.S.
 * Source: our own; docs/paravirtual.md; Multiboot specification 0.6.96 for the header.
 */
#include "../nano/kernel/pv/abi.h"

    .section .multiboot, "a"
    .balign 4
    .long 0x1BADB002, 3, -(0x1BADB002 + 3)
    .long PV_MAGIC, PV_VERSION, -(PV_MAGIC + PV_VERSION)

    .text
    .globl start
start:
    movl $stack_top, %esp
    pushl %ebx
    pushl %esi
    call hostile_main /* does not return */

    .bss
    .balign 4096
    .globl stack_top
    .skip 4096
stack_top:
