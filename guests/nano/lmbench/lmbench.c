/*
 * Microbenchmarks of what programs ask of a kernel, each repeated n times.
 * Invariant: one repetition does what the benchmark of lmbench of that name times, and nothing besides.
 * Source: our own, after lmbench (McVoy and Staelin, USENIX 1996): lat_syscall, lat_sig, lat_proc, lat_ctx, lat_mmap,
 * lat_pagefault.
 */
#include "lmbench.h"

#define SIGNAL_USER 10
#define PROGRAM_HELLO 1
#define PROGRAM_SHELL 2
#define FILE_STRIDE (16 * 1024)
#define TASKS_MAX 20

static u32 check(u32 result)
{
    if (result == SYS_ERROR)
        fail("a system call was refused");
    return result;
}

/* The cheapest call there is. */
struct outcome run_null(const u32 *value)
{
    u32 sum = 0;

    for (u32 i = 0; i < value[0]; i++)
        sum += sys_getpid();
    return (struct outcome){value[0], sum};
}

/* Half a read of one byte and half a write of one byte: n counts both. */
struct outcome run_nullio(const u32 *value)
{
    u32 sum = CHECKSUM_START;
    u8 byte = 1;

    for (u32 i = 0; i < value[0]; i++)
        sum = checksum_add(sum, i % 2 ? system_call3(SYS_READ, 0, (u32)&byte, 1) : system_call3(SYS_WRITE_TO, 1, (u32)&byte, 1));
    return (struct outcome){value[0], sum};
}

/* ---- signals ---- */

static u32 handled, handled_limit;

/* Where a handler returns to: the number it was called with is still on the stack. */
__asm__(".text\nrestorer: movl $24, %eax\nint $0x80\n"); /* SYS_SIGRETURN */
extern char restorer[];

static void count_signal(int signal)
{
    (void)signal;
    handled++;
}

static void install(u32 signal, void (*handler)(int))
{
    check(system_call3(SYS_SIGNAL, signal, (u32)handler, (u32)restorer));
}

struct outcome run_siginst(const u32 *value)
{
    for (u32 i = 0; i < value[0]; i++)
        install(SIGNAL_USER, count_signal);
    return (struct outcome){value[0], CHECKSUM_START};
}

struct outcome run_sighndl(const u32 *value)
{
    install(SIGNAL_USER, count_signal);
    for (u32 i = 0; i < value[0]; i++)
        check(system_call(SYS_RAISE, SIGNAL_USER, 0));
    return (struct outcome){handled, CHECKSUM_START};
}

/* The store faults again and again, for its handler changes nothing; the last time it makes a call that ends it. */
static void count_fault(int signal)
{
    (void)signal;
    if (++handled < handled_limit)
        return;
    sys_exit(handled & 0x7FFFFFFF);
}

struct outcome run_prot(const u32 *value)
{
    u32 *page = map_or_fail(PAGE_BYTES);
    u32 child;

    *page = 1;
    check(system_call(SYS_PROTECT, (u32)page, 0));
    child = check(sys_fork());
    if (!child) {
        handled_limit = value[0];
        install(SIGNAL_SEGV, count_fault);
        *(volatile u32 *)page = 2;
        sys_exit(0);
    }
    return (struct outcome){sys_wait(child), checksum_add(CHECKSUM_START, *page)};
}

/* ---- processes ---- */

/* A process has some memory of its own: without it fork would have nothing to copy. */
static void fill(u32 pages)
{
    u32 *memory = pages ? map_or_fail(pages * PAGE_BYTES) : 0;

    for (u32 i = 0; i < pages; i++)
        memory[i * PAGE_BYTES / 4] = i;
}

static void exec(u32 program)
{
    system_call(SYS_EXEC, program, 0);
    sys_exit(SYS_ERROR - 2);
}

static u32 run_child(u32 program)
{
    u32 child = check(sys_fork());

    if (!child) {
        if (program)
            exec(program);
        sys_exit(7);
    }
    return sys_wait(child);
}

u32 lmbench_program(u32 argument)
{
    return argument == PROGRAM_SHELL ? run_child(PROGRAM_HELLO) + 1 : 7;
}

static struct outcome children(const u32 *value, u32 program)
{
    u32 sum = CHECKSUM_START;

    fill(value[1]);
    for (u32 i = 0; i < value[0]; i++)
        sum = checksum_add(sum, run_child(program));
    return (struct outcome){value[0], sum};
}

struct outcome run_fork(const u32 *value) { return children(value, 0); }
struct outcome run_exec(const u32 *value) { return children(value, PROGRAM_HELLO); }
struct outcome run_sh(const u32 *value) { return children(value, PROGRAM_SHELL); }

/* ---- context switches: a word goes round a ring of tasks, each of which adds up its own array ---- */

static u32 array[64 * 1024 / 4];

static u32 add_up(u32 kib)
{
    u32 sum = 0;

    for (u32 i = 0; i < kib * 1024 / 4; i++)
        sum += array[i];
    return sum;
}

static void member(u32 number, u32 tasks, u32 kib)
{
    u32 word;

    array[0] = number;
    for (u32 i = 0; i < kib * 1024 / 4; i += PAGE_BYTES / 4)
        array[i] += i;
    do {
        word = system_call(SYS_RECEIVE, number, 0);
        word += add_up(kib) >> 31;
        system_call(SYS_SEND, (number + 1) % tasks, word);
    } while (word);
    sys_exit(0);
}

struct outcome run_ctx(const u32 *value)
{
    u32 n = value[0], tasks = value[1], kib = value[2], sum = CHECKSUM_START;
    u32 child[TASKS_MAX];

    for (u32 i = 1; i < tasks; i++) {
        child[i] = check(sys_fork());
        if (!child[i])
            member(i, tasks, kib);
    }
    for (u32 i = 0; i < kib * 1024 / 4; i += PAGE_BYTES / 4)
        array[i] = i;
    for (u32 round = n; round <= n; round--) { /* the last word is 0 and ends the others */
        system_call(SYS_SEND, 1 % tasks, round);
        sum = checksum_add(sum, system_call(SYS_RECEIVE, 0, 0) + (add_up(kib) >> 31));
    }
    for (u32 i = 1; i < tasks; i++)
        sum = checksum_add(sum, sys_wait(child[i]));
    return (struct outcome){n, sum};
}

/* ---- mapped files ---- */

static u8 *map_file(u32 pages)
{
    u8 *start = (u8 *)system_call(SYS_MAP_FILE, pages * PAGE_BYTES, 0);

    if (!start)
        fail("no room for the mapping");
    return start;
}

/* Map a file, touch some of its pages 16 KiB apart, unmap it. */
struct outcome run_mmap(const u32 *value)
{
    u32 bytes = value[1] * PAGE_BYTES, sum = CHECKSUM_START;

    for (u32 i = 0; i < value[0]; i++) {
        u8 *start = map_file(value[1]);
        for (u32 touch = 0; touch < value[2] && touch * FILE_STRIDE < bytes; touch++)
            sum = checksum_add(sum, *(volatile u8 *)(start + touch * FILE_STRIDE));
        sys_unmap(start);
    }
    return (struct outcome){value[0], sum};
}

/* Touches the pages of a mapped file one after the other; the mapping is made anew when all were touched. */
struct outcome run_fault(const u32 *value)
{
    u32 sum = CHECKSUM_START;

    for (u32 done = 0; done < value[0];) {
        u8 *start = map_file(FILE_PAGES);
        for (u32 i = 0; i < FILE_PAGES && done < value[0]; i++, done++)
            sum = checksum_add(sum, *(volatile u8 *)(start + i * PAGE_BYTES));
        sys_unmap(start);
    }
    return (struct outcome){value[0], sum};
}
