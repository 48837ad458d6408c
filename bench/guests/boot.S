/*
 * Entry from the multiboot loader, the way into a trap and back, and the user program of workload `syscall`.
 * Invariant: entered in flat 32-bit protected mode without paging, interrupts off, EBX = information.
 * Source: Multiboot specification 0.6.96, sections 3.1 and 3.2; the trap frame is what small teaching kernels push:
 *         error code, vector, four segment registers, all general registers.
 */
#include "bench.h"

#define MULTIBOOT_MAGIC 0x1BADB002
#define MULTIBOOT_FLAGS 0x00000003 /* page-align modules; give memory size and command line */

    .section .multiboot, "a"
    .balign 4
    .long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

    .text
    .globl start
start:
    cli
    cld
    movl $kernel_stack_top, %esp
    lgdt gdt_pointer
    ljmp $SEL_KERNEL_CODE, $1f
1:  movl $SEL_KERNEL_DATA, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl %ecx, %fs
    movl %ecx, %gs
    movl %ecx, %ss
    pushl %ebx
    pushl %eax
    call kernel_main /* does not return */

/* Vectors 0 to 31, sixteen bytes each: those without an error code push a zero in its place. */
    .balign 16
    .globl trap_vectors
trap_vectors:
    vector = 0
    .rept 32
    .balign 16
    .if vector != 8 && (vector < 10 || vector > 14) && vector != 17
    pushl $0
    .endif
    pushl $vector
    jmp trap_all
    vector = vector + 1
    .endr

    .balign 8
    .globl trap_syscall
trap_syscall:
    pushl $0
    pushl $VECTOR_SYSCALL
    jmp trap_all

trap_all:
    pushl %ds
    pushl %es
    pushl %fs
    pushl %gs
    pushal
    movw $SEL_KERNEL_DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    pushl %esp
    call trap
    addl $4, %esp
    popal
    popl %gs
    popl %fs
    popl %es
    popl %ds
    addl $8, %esp /* vector and error code */
    iret

/* void user_enter(u32 n): runs the user program in ring 3; user_leave comes back to the caller. */
    .globl user_enter
user_enter:
    pushal
    movl 36(%esp), %ecx
    movl %esp, tss + 4 /* traps from ring 3 start below what is saved here */
    movl %esp, user_return
    pushl $SEL_USER_DATA
    pushl $user_stack_top
    pushl $2 /* EFLAGS: interrupts stay off */
    pushl $SEL_USER_CODE
    pushl $user_main
    movl $SEL_USER_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    iret

    .globl user_leave
user_leave:
    movl user_return, %esp
    popal
    ret

/* System calls with the arguments ECX to 1, then the last one. Alone on its page: the only code that ring 3 may read. */
    .section .user, "ax"
    .globl user_main
user_main:
    movl %ecx, %ebx
1:  movl $SYSCALL_ADD, %eax
    int $VECTOR_SYSCALL
    decl %ebx
    jnz 1b
    movl $SYSCALL_DONE, %eax
    int $VECTOR_SYSCALL

    .section .rodata
    .balign 8
gdt_pointer:
    .word 6 * 8 - 1
    .long gdt

    .bss
    .balign PAGE_BYTES
    .skip 4 * PAGE_BYTES
    .globl kernel_stack_top
kernel_stack_top:
    .section .userdata, "aw", @nobits
    .globl user_stack
user_stack:
    .skip PAGE_BYTES
    .globl user_stack_top
user_stack_top:
    .data
user_return:
    .long 0
