/* Into a probe and out of it: enter_probe starts code with given registers at any ring; the first trap that no hook
 * resumes comes back from enter_probe, with everything in `seen`.
 * Invariant: the trap entry needs only SS:ESP, so a probe may leave any data segment in any state. */
        .text
        .global enter_probe
enter_probe:
        pusha
        mov %esp, saved_esp
        mov 36(%esp), %ebx
        mov 52(%ebx), %eax              # cs
        test $3, %eax
        jnz 1f
        mov 12(%ebx), %esp
        jmp 2f
1:      push 60(%ebx)                   # ss
        push 12(%ebx)                   # esp
2:      push 56(%ebx)                   # eflags
        push %eax
        push 48(%ebx)                   # eip
        mov 0(%ebx), %edi
        mov 4(%ebx), %esi
        mov 8(%ebx), %ebp
        mov 20(%ebx), %edx
        mov 24(%ebx), %ecx
        mov 32(%ebx), %eax
        mov %eax, %gs
        mov 36(%ebx), %eax
        mov %eax, %fs
        mov 40(%ebx), %eax
        mov %eax, %es
        mov 28(%ebx), %eax
        push 16(%ebx)                   # ebx
        mov 44(%ebx), %bx
        mov %bx, %ds
        pop %ebx
        iret

        .macro stub n
        .balign 16
        .if (\n != 8) && (\n != 10) && (\n != 11) && (\n != 12) && (\n != 13) && (\n != 14) && (\n != 17)
        push $-1
        .else
        nop
        nop
        .endif
        push $\n
        jmp common
        .endm

        .balign 16
        .global stubs
stubs:
        .set n, 0
        .rept 128
        stub n
        .set n, n + 1
        .endr

common: pusha
        push %ds
        push %es
        push %fs
        push %gs
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        cld
        push %esp
        call trap
        add $4, %esp
        test %eax, %eax
        jnz leave_probe
        pop %gs
        pop %fs
        pop %es
        pop %ds
        popa
        add $8, %esp
        iret

        .global leave_probe
leave_probe:
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %fs
        mov %eax, %gs
        mov %eax, %ss
        mov saved_esp, %esp
        popa
        ret

        .bss
        .balign 4
saved_esp: .skip 4
