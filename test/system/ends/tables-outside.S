/* GDT, IDT and TSS beyond the end of memory. */
        .include "ends.inc"
main:
        gate 13, done
        task_register
        movl $0x10000000, gdtr + 2
        lgdt gdtr
        mov $0x10, %eax
        mov %eax, %ds
        jmp done
