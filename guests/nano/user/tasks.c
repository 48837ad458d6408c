/*
 * Workloads about the kernel's own services: calls, ports, processes, preemption, faults.
 * Invariant: children are waited for in the order of their creation, so the checksum does not depend
 *            on the order in which they ended.
 * Source: our own.
 */
#include "user.h"

/* options: n. The cheapest call there is. */
struct outcome run_syscall(const u32 *value)
{
    u32 n = value[0], sum = 0;
    struct progress p = progress_start(n);

    for (u32 done = 1; done <= n; done++) {
        sum += sys_getpid();
        progress_at(&p, done);
    }
    return (struct outcome){sum, checksum_add(CHECKSUM_START, sum)};
}

/* options: n. The kernel does the work and reports the progress. */
struct outcome run_io(const u32 *value)
{
    return (struct outcome){value[0], sys_io(value[0])};
}

static u32 fork_or_fail(void)
{
    u32 id = sys_fork();

    if (id == SYS_ERROR)
        fail("fork found no memory or no task slot");
    return id;
}

/* options: n. A child's answer depends on memory it inherited and on a page it writes itself. */
struct outcome run_forkwait(const u32 *value)
{
    static u32 shared;
    u32 n = value[0], sum = CHECKSUM_START;
    struct progress p = progress_start(n);

    for (u32 done = 1; done <= n; done++) {
        shared = done * done;
        u32 child = fork_or_fail();
        if (!child) {
            shared += 7; /* the parent must not see this */
            sys_exit(shared);
        }
        sum = checksum_add(sum, sys_wait(child));
        sum = checksum_add(sum, shared);
        progress_at(&p, done);
    }
    return (struct outcome){n, sum};
}

#define TASK_COUNT_MAX 32
#define MIX_WORDS (8 * PAGE_BYTES / 4)

/* Keeps private state in several pages: a mix-up of address spaces or registers changes the result. */
static u32 mix_task(u32 number, u32 work)
{
    static u32 memory[MIX_WORDS];
    u32 random = number + 1, sum = CHECKSUM_START;

    for (u32 i = 0; i < work; i++) {
        u32 *word = &memory[random_next(&random) % MIX_WORDS];
        sum = checksum_add(sum, *word);
        *word += random;
    }
    return sum & 0x7FFFFFFF; /* not to be taken for EXIT_KILLED */
}

/* options: tasks, work. The tasks compute side by side. Result: tasks that ended well. */
struct outcome run_mix(const u32 *value)
{
    u32 child[TASK_COUNT_MAX];
    u32 count = value[0], well = 0, sum = CHECKSUM_START;

    for (u32 i = 0; i < count; i++) {
        child[i] = fork_or_fail();
        if (!child[i])
            sys_exit(mix_task(i, value[1]));
    }
    for (u32 i = 0; i < count; i++) {
        u32 code = sys_wait(child[i]);
        well += code != EXIT_KILLED && code != SYS_ERROR;
        sum = checksum_add(sum, code);
        sys_work(i + 1);
    }
    return (struct outcome){well, sum};
}

/* Each of these is a mistake that must end the task and nothing else. */
static void mistake(u32 number)
{
    switch (number) {
    case 0: *(volatile u32 *)0 = 1; break;                        /* #PF: not present */
    case 1: *(volatile u32 *)0x00100000 = 1; break;               /* #PF: the kernel's page */
    case 2: *(volatile u32 *)USER_BASE = 1; break;                /* #PF: read-only, not copy-on-write */
    case 3: __asm__ volatile("hlt"); break;                       /* #GP: privileged */
    case 4: __asm__ volatile("cli"); break;                       /* #GP: IOPL */
    case 5: __asm__ volatile("inb $0x21, %%al" : : : "eax"); break; /* #GP: no port is ours */
    case 6: __asm__ volatile("int $0x21"); break;                 /* #GP: the gate's DPL is 0 */
    case 7: __asm__ volatile("ud2"); break;                       /* #UD */
    case 8: __asm__ volatile("xorl %%ecx, %%ecx; divl %%ecx" : : : "eax", "ecx", "edx"); break; /* #DE */
    case 9: __asm__ volatile("movl %0, %%ds" : : "r"(0x10)); break; /* #GP: kernel data segment */
    }
}
#define MISTAKE_COUNT 10

/* Result: tasks that were killed. */
struct outcome run_faults(const u32 *value)
{
    u32 killed = 0, sum = CHECKSUM_START;

    (void)value;
    for (u32 i = 0; i < MISTAKE_COUNT; i++) {
        u32 child = fork_or_fail();
        if (!child) {
            mistake(i);
            sys_exit(i);
        }
        u32 code = sys_wait(child);
        killed += code == EXIT_KILLED;
        sum = checksum_add(sum, code);
        sys_work(i + 1);
    }
    return (struct outcome){killed, sum};
}
