/*
 * What kernel and user programs agree on: system call numbers, selectors, the map of user space.
 * Invariant: included by C and assembly alike, so it holds #defines only.
 * Source: our own; calls by `int 0x80` with eax = number, ebx/ecx/edx = arguments, result in eax.
 */
#ifndef ABI_H
#define ABI_H

#define PAGE_BYTES 4096

/* Selectors of the kernel's GDT. The two low bits are the requested privilege level. */
#define SEL_KERNEL_CODE 0x08
#define SEL_KERNEL_DATA 0x10
#define SEL_USER_CODE   0x1B
#define SEL_USER_DATA   0x23
#define SEL_TSS         0x28

/* User space, inside each task's own page directory. */
#define USER_BASE       0x40000000 /* program image: code and constants, read-only */
#define USER_MAP_BASE   0x50000000 /* sys_map takes areas from here upwards */
#define USER_MAP_LIMIT  0x70000000
#define USER_STACK_BASE 0x7FFF0000 /* 64 KiB, demand-zero */
#define USER_LIMIT      0x80000000

#define VECTOR_SYSCALL 0x80

#define SYS_EXIT    1  /* (code), does not return */
#define SYS_FORK    2  /* () -> child's id, 0 in the child, SYS_ERROR */
#define SYS_WAIT    3  /* (task id) -> its exit code; SYS_ERROR when it is not our child */
#define SYS_GETPID  4  /* () -> own id; the null call of workload `syscall` */
#define SYS_WRITE   5  /* (text, length) -> length */
#define SYS_SLEEP   6  /* (tick number): until that absolute tick; SYS_ERROR without a timer */
#define SYS_YIELD   7  /* () */
#define SYS_MAP     8  /* (bytes) -> address of fresh demand-zero memory, 0 when there is no room */
#define SYS_UNMAP   9  /* (address): gives back the whole area that starts there */
#define SYS_WORK    10 /* (units done so far): progress for whoever watches the machine */
#define SYS_TICKS   11 /* () -> timer ticks since boot */
#define SYS_CMDLINE 12 /* (buffer, bytes) -> copies the boot command line */
#define SYS_PTEMOD  13 /* (n) -> checksum; runs in the kernel */
#define SYS_IO      14 /* (n) -> checksum; runs in the kernel */

/* Only in the builds for microbenchmarks (NANO_LMBENCH). */
#define SYS_READ      20 /* (file, buffer, bytes) -> bytes; file 0 gives zeros */
#define SYS_WRITE_TO  21 /* (file, buffer, bytes) -> bytes; file 1 takes and forgets */
#define SYS_SIGNAL    22 /* (signal, handler): the handler is called with the signal's number */
#define SYS_RAISE     23 /* (signal): to ourselves */
#define SYS_SIGRETURN 24 /* (): the handler is done; ESP as it was when the handler began */
#define SYS_EXEC      25 /* (argument): the program anew, in a fresh address space */
#define SYS_ARGUMENT  26 /* () -> what the last SYS_EXEC said; 0 before the first */
#define SYS_SEND      27 /* (pipe, word) */
#define SYS_RECEIVE   28 /* (pipe) -> word; waits for one */
#define SYS_MAP_FILE  29 /* (bytes) -> address of a shared mapping of the one file there is, 0 when there is no room */
#define SYS_PROTECT   30 /* (address): the page becomes read-only */
#define SIGNAL_COUNT 32
#define SIGNAL_SEGV 11
#define FILE_PAGES 256

#define SYS_ERROR 0xFFFFFFFF
#define EXIT_KILLED 0xFFFFFFFE /* what wait() returns for a task that a fault ended */

#endif
