/* IRET with NT set. */
        .include "ends.inc"
main:
        task_register
        pushf
        orl $0x4000, (%esp)
        popf
        pushf
        push %cs
        push $done
        iret
