/*
 * The interface between a paravirtual kernel and the VMM, as numbers; docs/paravirtual.md tells what they mean.
 * Invariant: the same as src/vmm/paravirtual/abi.ts; a test compares the two. Included by C and assembly alike.
 * Source: our own; calls by `int 0x82` in ring 1, eax = number, ebx, ecx, edx, esi = arguments, result in eax.
 */
#ifndef PV_ABI_H
#define PV_ABI_H

#define PV_MAGIC 0x5056484B
#define PV_VERSION 1

#define VECTOR_HYPERCALL 0x82
#define HC_SET_TRAP_TABLE 0
#define HC_MMU_UPDATE 1
#define HC_STACK_SWITCH 3
#define HC_SET_CALLBACKS 4
#define HC_MULTICALL 13
#define HC_UPDATE_VA_MAPPING 14
#define HC_SET_TIMER 15
#define HC_CONSOLE_WRITE 18
#define HC_SCHED_OP 29
#define HC_EVENT_CHANNEL_OP 32
#define HC_PORT_IO 33

#define MMU_EXTENDED 3 /* in the low bits of a request's first word; 0 is an update of an entry */
#define EXT_PIN_L1 0
#define EXT_PIN_L2 1
#define EXT_UNPIN 2
#define EXT_NEW_BASE 3
#define EXT_TLB_FLUSH 4
#define EXT_INVLPG 5

#define UVM_INVLPG 1
#define TRAP_DPL3 3
#define TRAP_MASKS 4

#define SCHED_YIELD 0
#define SCHED_BLOCK 1
#define SCHED_SHUTDOWN 2

#define EVENT_BIND_TIMER 1
#define EVENT_CLOSE 3
#define EVENT_SEND 4
#define EVENT_POLL 9

#define PORT_READ 0
#define PORT_WRITE 1

#define SEL_PV_KERNEL_DATA 0x11 /* SS; CS is 0x09, and DS and ES may name it with RPL 0 */

/* Offsets in the shared page. */
#define SHARED_MASK 0
#define SHARED_PENDING 1
#define SHARED_PORTS 4
#define SHARED_PORTS_MASKED 8
#define SHARED_CR2 12
#define SHARED_CLOCK 32
#define SHARED_STEAL 64

#endif
