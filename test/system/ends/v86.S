/* IRET to virtual-8086 mode. */
        .include "ends.inc"
main:
        task_register
        push $0
        push $0
        push $0
        push $0
        push $0x800
        push $0x1000
        push $0x20002
        push $0x800
        push $0
        iret
