/*
 * Entry of the small VMM: own GDT with a TSS, own stack, then C; and the world switch into its guest and back.
 * Invariant: everything of L1 but the general registers of L2 is in the control structure.
 * Source: SDM vol 3, 24.5 (host state), 26 (entry), 27 (exit).
 */

    .section .multiboot, "a"
    .balign 4
    .long 0x1BADB002, 3, -(0x1BADB002 + 3)

    .text
    .globl start
start:
    movl $stack_top, %esp
    pushl $0
    popfl
    lgdt gdt_pointer
    ljmp $0x08, $1f
1:  movw $0x10, %cx
    movw %cx, %ds
    movw %cx, %es
    movw %cx, %ss
    movw %cx, %fs
    movw %cx, %gs
    lidt idt_pointer
    pushl %ebx
    call vmm_main
2:  cli
    hlt
    jmp 2b

/*
 * u32 run_guest(u32 *registers, u32 launched): enters L2 with its registers (eax ecx edx ebx - ebp esi edi) and comes back at
 * the next exit. Returns 0, or the flags if the entry failed.
 */
    .globl run_guest
run_guest:
    pushl %ebp
    pushl %ebx
    pushl %esi
    pushl %edi
    movl 20(%esp), %edi         /* registers */
    movl 24(%esp), %ecx
    pushl %edi
    movl $0x6C14, %eax          /* host RSP */
    vmwrite %esp, %eax
    movl $0x6C16, %eax          /* host RIP */
    movl $guest_exit, %edx
    vmwrite %edx, %eax
    testl %ecx, %ecx
    movl (%edi), %eax
    movl 4(%edi), %ecx
    movl 8(%edi), %edx
    movl 12(%edi), %ebx
    movl 20(%edi), %ebp
    movl 24(%edi), %esi
    movl 28(%edi), %edi
    jnz 1f
    vmlaunch
    jmp 2f
1:  vmresume
2:  pushfl                      /* the entry failed */
    popl %eax
    addl $4, %esp
    jmp 3f
    .globl guest_exit
guest_exit:
    pushl %edi
    movl 4(%esp), %edi
    movl %eax, (%edi)
    movl %ecx, 4(%edi)
    movl %edx, 8(%edi)
    movl %ebx, 12(%edi)
    movl %ebp, 20(%edi)
    movl %esi, 24(%edi)
    popl %eax
    movl %eax, 28(%edi)
    addl $4, %esp
    xorl %eax, %eax
3:  popl %edi
    popl %esi
    popl %ebx
    popl %ebp
    ret

/* The timer's interrupt, IRQ 0: counted and acknowledged. */
    .globl timer_entry
timer_entry:
    pushl %eax
    incl ticks
    movb $0x20, %al
    outb %al, $0x20
    popl %eax
    iret

    .data
    .balign 8
    .globl gdt, tss
gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF
    .quad 0x00CF93000000FFFF
    .quad 0                     /* TSS, filled in by C */
gdt_pointer:
    .word 4 * 8 - 1
    .long gdt
idt_pointer:
    .word 256 * 8 - 1
    .long idt
    .bss
    .balign 16
    .globl idt, ticks
idt:
    .skip 256 * 8
ticks:
    .skip 4
tss:
    .skip 104
    .balign 4096
    .skip 8192
stack_top:
