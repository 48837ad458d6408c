/* JMP to a TSS. */
        .include "ends.inc"
main:
        task_register
        system_descriptor gdt_tss2, tss2, 0x89
        ljmp $0x30, $0
