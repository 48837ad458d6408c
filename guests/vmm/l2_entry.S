/*
 * Entry, page-fault handler and stack of L2. It is entered with its workload in eax and the count in ebx.
 */
    .text
    .globl l2_entry, l2_fault
l2_entry:
    pushl %ebx
    pushl %eax
    call l2_main
1:  hlt
    jmp 1b
l2_fault:                       /* error code, EIP, CS, EFLAGS */
    incl l2_faults
    addl $2, 4(%esp)
    addl $4, %esp
    iret

    .bss
    .balign 16
    .globl l2_stack_top
    .skip 4096
l2_stack_top:
