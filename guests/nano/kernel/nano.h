/*
 * The kernel's modules and what each offers to the others; one block per source file.
 * Invariants: interrupts are off in the kernel unless a call says otherwise (all gates are interrupt
 *             gates), and a task switch happens only on the way out of a trap that came from ring 3,
 *             inside a blocking system call, or in the idle loop: never inside a nested interrupt.
 * Source: our own design; structures of Intel SDM volume 3 (task state, page tables).
 */
#ifndef NANO_H
#define NANO_H

#include "../abi.h"
#include "../lib/lib.h"
#ifdef NANO_PV
#include "pv/cpu.h"
#include "pv/irq.h"
#include "pv/mmu.h"
#else
#include "cpu.h"
#include "irq.h"
#include "mmu.h"
#endif

/* ---- entry.S pushes this; the last two words exist only when the trap came from ring 3 ---- */
struct trap_frame {
    u32 es, ds;
    u32 edi, esi, ebp, esp_ignored, ebx, edx, ecx, eax; /* PUSHA order */
    u32 vector, error;
    u32 eip, cs, eflags;
    u32 esp, ss;
};
void trap_return(void);                              /* entry.S: leaves by the frame at ESP */
void switch_stacks(u32 *save_esp, u32 load_esp);     /* entry.S */
extern const u32 trap_stubs[];                       /* entry.S: address of the stub of each vector */
#define TRAP_STUB_COUNT 48

/* ---- main.c ---- */
extern char command_line[512];
void shutdown(u32 code) __attribute__((noreturn));
#define EXIT_TASK_FAILED 1 /* exit codes of the machine; 0: the workload ended well */
#define EXIT_USAGE 2
#define EXIT_PANIC 0x7F
void usage(const char *message) __attribute__((noreturn));

/* ---- console.c ---- */
void console_init(void);
void console_write(const char *text, u32 length_bytes);
void print(const char *pattern, ...);

/* ---- tables.c: GDT, IDT, TSS ---- */
extern u32 gdt[][2];
extern u32 idt[][2];
#define GDT_LIMIT (6 * 8 - 1)
#define IDT_COUNT 0x81
#define IDT_LIMIT (IDT_COUNT * 8 - 1)
void tables_init(void);
void tss_set_stack(u32 esp0);

/* ---- selfcheck.c ---- */
void selfcheck(void);

/* ---- trap.c ---- */
void panic(const char *what) __attribute__((noreturn));

/* ---- timer.c: interrupt controllers and timer ---- */
#define VECTOR_IRQ0 0x20
extern u32 timer_hz; /* 0: no timer */
extern u32 ticks;
void timer_init(void);  /* all inputs masked */
void timer_start(void);
void irq_acknowledge(u32 vector);

/* ---- page.c: physical pages; address == linear address, for all RAM is mapped one to one ---- */
void page_init(u32 first_free, u32 ram_end);
u32 page_alloc(void);        /* 0 when there is none left; contents are arbitrary */
u32 page_alloc_zero(void);
#ifdef NANO_LMBENCH
u32 page_alloc_cache(void);
#endif
void page_share(u32 page);   /* one more user */
void page_free(u32 page);    /* one user less */
int page_is_shared(u32 page);
u32 page_used_count(void);

/* ---- vm.c: address spaces ---- */
#define AREA_COUNT 16
#ifdef NANO_LMBENCH
struct area { u32 start, end, is_file; };
#else
struct area { u32 start, end; }; /* end == 0: unused */
#endif
struct space {
    u32 *directory;
    struct area areas[AREA_COUNT];
};
void vm_init(u32 ram_end);
void vm_activate(const struct space *space); /* a null pointer means the kernel's own */
int vm_create_first(struct space *space);    /* maps the user program; like all int here: 1 on success */
u32 vm_program_entry(void);
int vm_copy(struct space *to, struct space *from);
enum vm_answer { VM_DENIED, VM_RETRY, VM_NO_MEMORY };
enum vm_answer vm_fault(struct space *space, u32 address, u32 error);
void vm_destroy(struct space *space);
u32 vm_map(struct space *space, u32 bytes);
int vm_unmap(struct space *space, u32 start);
int vm_covers(const struct space *space, u32 start, u32 bytes);
u32 *vm_window_entry(u32 index); /* page table entry behind vm_window_address(index) */
u32 vm_window_address(u32 index);
#define WINDOW_PAGES 64

#define PTE_PRESENT 0x001u
#define PTE_WRITE 0x002u
#define PTE_USER 0x004u
#define PTE_LARGE 0x080u
#define PTE_COW 0x200u /* bit 9 is ours: a private page that is shared until the first write */
#define PTE_FRAME 0xFFFFF000u

/* ---- task.c ---- */
enum task_state { TASK_FREE, TASK_READY, TASK_SLEEPING, TASK_WAITING, TASK_ZOMBIE };
struct task {
    enum task_state state;
    u32 id;
    struct task *parent;
    struct task *next;        /* in the one queue that its state names: ready or sleeping */
    struct task *awaited;     /* TASK_WAITING: whose end wakes us */
    u32 wake_tick;            /* TASK_SLEEPING */
    u32 exit_code;            /* TASK_ZOMBIE */
    u32 kernel_esp;           /* while not running: where switch_stacks left off */
    u32 kernel_stack;         /* page */
    struct space space;
#ifdef NANO_LMBENCH
    u32 handlers[SIGNAL_COUNT], restorer, pending; /* addresses in user space; bits by signal */
    u32 argument;
#endif
};
extern struct task *current;
void task_start_first(void);
void task_idle(void) __attribute__((noreturn));
void task_yield(void);
void task_preempt(void);
void task_tick(void);
void task_sleep_until(u32 tick);
void task_exit(u32 code) __attribute__((noreturn));
u32 task_fork(const struct trap_frame *frame);
u32 task_wait(u32 id);

#ifdef NANO_LMBENCH
/* ---- task.c, vm.c, ../lmbench/kernel.c: what microbenchmarks measure and the workloads do without ---- */
void task_block(void);
void task_wake(struct task *task);
u32 task_exec(struct trap_frame *frame, u32 argument);
u32 vm_map_file(struct space *space, u32 bytes);
int vm_protect(struct space *space, u32 address);
u32 posix_call(struct trap_frame *frame);
int signal_fault(void);                      /* 1: a handler will get it */
void signal_deliver(struct trap_frame *frame);
#endif

/* ---- syscall.c, bench.c ---- */
u32 syscall(struct trap_frame *frame);
void progress(u32 units_done);
u32 bench_ptemod(u32 n);
u32 bench_io(u32 n);

#endif
