/* IRET with NT set in ring 3. */
        .include "ends.inc"
main:
        task_register
        gate 13, done
        user 1f
1:      pushf
        orl $0x4000, (%esp)
        popf
        pushf
        push %cs
        push $1b
        iret
