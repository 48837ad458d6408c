/*
 * The benchmark kernel: what its files share.
 * Invariant: interrupts stay off, no device but the ports below is touched, and no REP instruction runs in a measured
 *            loop, so that every machine counts the same instructions.
 * Source: our own; the kinds of work are those of compiler and hypervisor benchmarks (see docs/performance.md).
 */
#ifndef BENCH_H
#define BENCH_H

#define PORT_CONSOLE 0xE9
#define PORT_EXIT 0xF4
#define PORT_POWER 0x8900 /* Bochs ends when it reads the word "Shutdown" here */

#define PAGE_BYTES 4096
#define PTE_PRESENT 1
#define PTE_WRITE 2
#define PTE_USER 4

#define SEL_KERNEL_CODE 0x08
#define SEL_KERNEL_DATA 0x10
#define SEL_USER_CODE 0x1B
#define SEL_USER_DATA 0x23
#define SEL_TSS 0x28

#define VECTOR_PAGE_FAULT 14
#define VECTOR_SYSCALL 0x80

#define SYSCALL_ADD 1
#define SYSCALL_DONE 2

#ifndef __ASSEMBLER__
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* What entry.S leaves on the kernel's stack, lowest address first. */
struct trapframe {
    u32 edi, esi, ebp, esp_unused, ebx, edx, ecx, eax;
    u32 gs, fs, es, ds;
    u32 vector, error;
    u32 eip, cs, eflags, esp, ss;
};

/* main.c */
void put(const char *text);
void stop(u32 code) __attribute__((noreturn));
void panic(const char *what, u32 value) __attribute__((noreturn));

/* paging.c */
void paging_on(void);
u32 *page_entry(u32 address);
void page_map(u32 address, u32 entry);

/* traps.c */
void traps_on(void);

/* One function per workload: n units of work, answers a checksum. */
u32 run_sieve(u32 n);
u32 run_matmul(u32 n);
u32 run_calls(u32 n);
u32 run_chase(u32 n);
u32 run_syscall(u32 n);
u32 run_ptemod(u32 n);
u32 run_pgfault(u32 n);
u32 run_touch(u32 n);

static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "d"(port)); }
static inline void outl(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "d"(port)); }
static inline void invlpg(u32 address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }
static inline u64 rdtsc(void)
{
    u64 ticks;

    __asm__ volatile("rdtsc" : "=A"(ticks) : : "memory");
    return ticks;
}
#endif

#endif
