/*
 * The narrow door between the CPU's trap mechanism and C: stubs, the common path, the stack switch.
 * Invariant: the pushes here spell out struct trap_frame of nano.h, from its end to its start.
 * Source: Intel SDM volume 3, chapter on interrupt and exception handling.
 */
#include "../abi.h"
#ifdef NANO_PV
#include "pv/abi.h"
#endif

/* Vectors for which the CPU itself pushes an error code; the other stubs push a zero in its place. */
#define HAS_ERROR(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17)

    .text
    .altmacro
.macro stub vector
stub_\vector:
    .if !HAS_ERROR(\vector)
    pushl $0
    .endif
    pushl $\vector
    jmp trap_common
.endm

.set n, 0
.rept 48
    stub %n
    .set n, n + 1
.endr

#ifdef NANO_PV
    .globl stub_event
stub_event:
    pushl $0
    pushl $0x20 /* VECTOR_IRQ0 of nano.h */
    jmp trap_common
#endif

    .globl stub_syscall
stub_syscall:
#ifdef NANO_PV
    /* Ring 3 came here by itself: nobody has masked events yet. EAX is an argument. */
    pushl $0
    pushl %eax
    movl pv_shared, %eax
    movb $1, SHARED_MASK(%eax)
    popl %eax
#else
    pushl $0
#endif
    pushl $VECTOR_SYSCALL

trap_common:
    pushal
    pushl %ds
    pushl %es
    movl $SEL_KERNEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    cld /* the interrupted code may have set DF; C expects it clear */
    pushl %esp
    call trap
    addl $4, %esp

    .globl trap_return
trap_return:
#ifdef NANO_PV
    /* The flags tell whether the interrupted code took events. What came meanwhile comes now; what comes
       between here and IRET nests once more on this stack. */
    testl $0x200, 4*14(%esp) /* IF of struct trap_frame */
    jz 1f
    movl pv_shared, %ebx
    movb $0, SHARED_MASK(%ebx)
    cmpb $0, SHARED_PENDING(%ebx)
    je 1f
    movl $HC_EVENT_CHANNEL_OP, %eax
    movl $EVENT_POLL, %ebx
    int $VECTOR_HYPERCALL
1:
#endif
    mov 0(%esp), %es
    mov 4(%esp), %ds
    addl $8, %esp
    popal
    addl $8, %esp
#ifdef NANO_CLEAN
    /* To ring 3 an IRET below ring 0 succeeds without a trap and keeps IF: so say STI aloud first.
       It holds interrupts off until after the IRET. To ring 0 such an IRET traps by itself. */
    testb $3, 4(%esp)
    jz 1f
    sti
1:
#endif
    iretl

/* void switch_stacks(u32 *save_esp, u32 load_esp): the registers a C caller expects kept. */
    .globl switch_stacks
switch_stacks:
    movl 4(%esp), %eax
    movl 8(%esp), %edx
    pushl %ebp
    pushl %ebx
    pushl %esi
    pushl %edi
    movl %esp, (%eax)
    movl %edx, %esp
    popl %edi
    popl %esi
    popl %ebx
    popl %ebp
    ret

.macro stub_address vector
    .long stub_\vector
.endm

    .section .rodata
    .balign 4
    .globl trap_stubs
trap_stubs:
.set n, 0
.rept 48
    stub_address %n
    .set n, n + 1
.endr
