/* CALL through a task gate. */
        .include "ends.inc"
main:
        task_register
        system_descriptor gdt_tss2, tss2, 0x89
        movl $0x00300000, gdt_task
        movl $0x8500, gdt_task + 4
        lcall $0x38, $0
