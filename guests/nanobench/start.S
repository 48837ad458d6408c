/*
 * Entry of the nanobenchmarks: own GDT, TSS and stacks, then C; the two exceptions that are measured, the system call, the
 * subroutine, and the loop that runs at ring 3.
 * Invariants: the two handlers do the least that lets the program go on behind the instruction that faulted; no PUSHF or
 * POPF, so that everything runs outside ring 0 as well.
 * Source: Multiboot specification 0.6.96, sections 3.1 and 3.2; SDM vol 3, chapter 6; SDM vol 2, SYSENTER and SYSEXIT.
 */
#define MAGIC 0x1BADB002
#define FLAGS 3 /* page-align modules; give memory size and command line */

    .section .multiboot, "a"
    .balign 4
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)

    .text
    .globl start
start:
    movl $stack_top, %esp
    cld
    lgdt gdt_pointer
    ljmp $8, $1f
1:  movl $16, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl %ecx, %ss
    pushl %ebx
    pushl %eax
    call nanobench_main /* does not return */

/* DIV ECX by zero: steps over its two bytes. */
    .globl on_divide
on_divide:
    addl $2, (%esp)
    iret

/* MOV EAX, [EBX] at a page that is not there: drops the error code and steps over its two bytes. */
    .globl on_page_fault
on_page_fault:
    addl $4, %esp
    addl $2, (%esp)
    iret

/* Anything else is a mistake of the program: exit code 0x7F. */
    .globl on_fault
on_fault:
    movl $0x7F, %eax
    outl %eax, $0xF4
2:  cli
    hlt
    jmp 2b

    .globl subroutine
subroutine:
    ret

/* The null system call: back to EDX with stack ECX and interrupts on, as kernels do, unless the program at ring 3 has
   come to its end (EDX is 0). */
    .globl on_system_call
on_system_call:
    testl %edx, %edx
    jz 3f
    sti
    sysexit
3:  movl $16, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl user_done_stack, %esp
    ret

/* void run_user(unsigned n): n system calls of a program at ring 3; returns when it is through. */
    .globl run_user
run_user:
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    movl 20(%esp), %esi
    pushl $user_done
    movl %esp, user_done_stack
    movl $0x23, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl $user_program, %edx
    movl $user_stack_top, %ecx
    sti
    sysexit
user_done:
    popl %ebp
    popl %edi
    popl %esi
    popl %ebx
    ret

/* Ring 3, in a page of its own. */
    .balign 4096
user_program:
    movl %esp, %ecx
    movl $4f, %edx
    sysenter
4:  decl %esi
    jnz user_program
    xorl %edx, %edx
    sysenter
    .balign 4096

    .section .rodata
    .balign 8
gdt: /* code and data of ring 0, code and data of ring 3, in the order of SYSENTER */
    .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00CFFB000000FFFF, 0x00CFF3000000FFFF
gdt_pointer:
    .word 39
    .long gdt

    .bss
    .balign 4096
user_stack:
    .skip 4096
user_stack_top:
    .skip 4096
    .globl stack_top
stack_top:
user_done_stack:
    .skip 4
    .globl user_program, user_stack
