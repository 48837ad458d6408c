/*
 * Entry, interrupt stubs and the way back from a mistake, for the guests with one purpose each.
 * Invariant: nothing here is sensitive without being privileged: a VMM that sees only traps can run it. The exception
 *            handler never returns with IRET: it goes back to attempt(), with that function's stack and registers.
 * Source: Multiboot specification 0.6.96, section 3; SDM vol 3, 6.12 and 6.13.
 */
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_USER_CODE 0x1B
#define SEL_USER_DATA 0x23

    .section .multiboot, "a"
    .balign 4
    .long 0x1BADB002, 2, -(0x1BADB002 + 2) /* magic, flags: memory size; checksum */

    .text
    .globl start
start:
    cli
    cld
    movl $stack_top, %esp
    pushl %ebx
    call make_tables
    lgdt gdt_pointer
    ljmp $SEL_CODE, $1f
1:  call load_data_segments
    lidt idt_pointer
    call guest_main
2:  cli
    hlt
    jmp 2b

load_data_segments:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    ret

/* u32 attempt(void (*code)(u32), u32 argument): calls it; 0, or 0x100 + vector of the exception that it met. */
    .globl attempt
attempt:
    incl attempts
    movl 4(%esp), %eax
    movl 8(%esp), %ecx
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    movl %esp, way_back
    pushl %ecx
    call *%eax
    xorl %eax, %eax
come_back: /* eax: the result */
    cld
    movl way_back, %esp
    movl $0, way_back
    popl %ebp
    popl %edi
    popl %esi
    popl %ebx
    ret

/* u32 attempt_user(void (*code)(u32), u32 argument, u32 stack): the same in ring 3, where INT 0x80 ends it. */
    .globl attempt_user
attempt_user:
    incl attempts
    movl 4(%esp), %eax
    movl 8(%esp), %ecx
    movl 12(%esp), %edx
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    movl %esp, way_back
    movl %esp, tss + 4
    pushl $SEL_USER_DATA
    pushl %edx
    pushl $2 /* EFLAGS */
    pushl $SEL_USER_CODE
    pushl %eax
    movl $SEL_USER_DATA, %edx
    movl %edx, %ds
    movl %edx, %es
    movl %ecx, %eax
    iret

/* One stub for each vector of 0 to 31: fault_stubs[n] is 16 bytes long. */
    .balign 16
    .globl fault_stubs
fault_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    .if (vector == 8) || (vector == 10) || (vector == 11) || (vector == 12) || (vector == 13) || (vector == 14) || (vector == 17)
    .else
    pushl $0
    .endif
    pushl $vector
    jmp fault_common
    .set vector, vector + 1
    .endr

fault_common: /* vector, error code, eip, cs, eflags */
    cld
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    popl fault_vector
    popl fault_error
    popl fault_eip
    movl %cr2, %eax
    movl %eax, fault_address
    incl faults
    movl $SEL_DATA, %eax
    movl %eax, %ss
    movl way_back, %esp
    testl %esp, %esp
    jz 1f
    movl fault_vector, %eax
    orl $0x100, %eax
    jmp come_back
1:  movl $stack_top, %esp
    jmp unexpected_fault

/* INT 0x80: the end of what attempt_user called, or a counted event of the kernel's own. */
    .globl system_call
system_call:
    pushl %eax
    movl 8(%esp), %eax
    movl %eax, call_selector
    movl 12(%esp), %eax
    movl %eax, call_flags
    incl calls
    testl $3, call_selector
    jnz 1f
    popl %eax
    iret
1:  movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    xorl %eax, %eax
    jmp come_back

    .globl timer_interrupt
timer_interrupt:
    pushl %eax
    incl interrupts
    movb $0x20, %al
    outb %al, $0x20
    popl %eax
    iret

    .bss
    .balign 16
    .skip 8192
    .globl stack_top
stack_top:
    .globl way_back, faults, fault_vector, fault_error, fault_eip, fault_address
    .globl calls, call_selector, call_flags, interrupts, attempts
way_back:      .skip 4 /* stack of the attempt() under way, or 0 */
faults:        .skip 4
fault_vector:  .skip 4
fault_error:   .skip 4
fault_eip:     .skip 4
fault_address: .skip 4
calls:         .skip 4
call_selector: .skip 4
call_flags:    .skip 4
interrupts:    .skip 4
attempts:      .skip 4
