/*
 * Numbers that C and assembly agree on.
 * Invariant: #defines only. A CPU's number is found by its stack, so stacks are as long as they are aligned.
 * Source: our own.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#define CPUS_MAX 8
#define STACK_BYTES 4096
#define TRAMPOLINE 0x8000
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define GDT_BYTES 24
#define IDT_COUNT 256
#define STUB_BYTES 16

#endif
