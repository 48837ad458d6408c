/* An exception through a task gate, the way some kernels take double faults. */
        .include "ends.inc"
main:
        task_register
        system_descriptor gdt_tss2, tss2, 0x89
        movl $0x00300000, idt + 8 * 6
        movl $0x8500, idt + 8 * 6 + 4
        ud2
