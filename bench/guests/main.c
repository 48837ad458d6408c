/*
 * Reads the command line (WORKLOAD n=COUNT), runs the workload, prints its checksum and the ticks it took.
 * Invariant: prints `bench: start` first, then one result line that depends on the command line only, then the ticks
 *            in 16 hexadecimal digits (so that the number of instructions does not depend on them).
 * Source: our own; ports as QEMU's debugcon and isa-debug-exit have them.
 */
#include "bench.h"

#define MULTIBOOT_LOADED 0x2BADB002
#define INFO_FLAGS 0
#define INFO_CMDLINE 4
#define FLAG_CMDLINE 4
#define EXIT_USAGE 2
#define EXIT_PANIC 0x7F

static const struct workload {
    const char *name;
    u32 (*run)(u32 n);
    u32 n;
} workloads[] = {
    {"sieve", run_sieve, 40},         {"matmul", run_matmul, 40},       {"calls", run_calls, 12},
    {"chase", run_chase, 90000000},   {"syscall", run_syscall, 5000000}, {"ptemod", run_ptemod, 20000000},
    {"pgfault", run_pgfault, 4000000}, {"touch", run_touch, 32},
};

#define WORKLOADS (sizeof workloads / sizeof *workloads)

void put(const char *text)
{
    for (; *text; text++)
        outb(PORT_CONSOLE, *text);
}

static void put_hex(u32 value)
{
    for (int shift = 28; shift >= 0; shift -= 4)
        outb(PORT_CONSOLE, "0123456789abcdef"[value >> shift & 15]);
}

static void put_decimal(u32 value)
{
    if (value >= 10)
        put_decimal(value / 10);
    outb(PORT_CONSOLE, '0' + value % 10);
}

void stop(u32 code)
{
    outl(PORT_EXIT, code);
    for (const char *text = "Shutdown"; *text; text++)
        outb(PORT_POWER, *text);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void panic(const char *what, u32 value)
{
    put("bench: panic: ");
    put(what);
    put(" 0x");
    put_hex(value);
    put("\n");
    stop(EXIT_PANIC);
}

/* The word at `text` is `name`; answers what follows it. */
static const char *after(const char *text, const char *name)
{
    while (*name)
        if (*text++ != *name++)
            return 0;
    return text;
}

static int ends_word(char c) { return c == 0 || c == ' '; }

struct request {
    const struct workload *workload;
    u32 n;
    u32 has_n;
};

static void read_word(const char *word, struct request *request)
{
    const char *rest = after(word, "n=");

    if (rest && *rest >= '0' && *rest <= '9') {
        u32 n = 0;

        for (; *rest >= '0' && *rest <= '9'; rest++)
            n = n * 10 + (*rest - '0');
        request->n = n;
        request->has_n = 1;
    }
    for (u32 i = 0; i < WORKLOADS; i++) {
        rest = after(word, workloads[i].name);
        if (rest && ends_word(*rest))
            request->workload = &workloads[i];
    }
}

static struct request read_command(const char *text)
{
    struct request request = {0, 0, 0};

    while (*text) {
        while (*text == ' ')
            text++;
        read_word(text, &request);
        while (!ends_word(*text))
            text++;
    }
    if (request.workload && !request.has_n)
        request.n = request.workload->n;
    return request;
}

void kernel_main(u32 magic, const u32 *info)
{
    struct request request;
    u32 checksum;
    u64 ticks;

    put("bench: start\n");
    if (magic != MULTIBOOT_LOADED)
        panic("no multiboot loader", magic);
    request = read_command(info[INFO_FLAGS] & FLAG_CMDLINE ? (const char *)info[INFO_CMDLINE] : "");
    if (!request.workload) {
        put("bench: no workload on the command line; one of: sieve matmul calls chase syscall ptemod pgfault touch\n");
        stop(EXIT_USAGE);
    }
    traps_on();
    paging_on();
    ticks = rdtsc();
    checksum = request.n ? request.workload->run(request.n) : 0;
    ticks = rdtsc() - ticks;
    put("bench: ");
    put(request.workload->name);
    put(" n=");
    put_decimal(request.n);
    put(" checksum=0x");
    put_hex(checksum);
    put("\nbench: ticks=0x");
    put_hex(ticks >> 32);
    put_hex(ticks);
    put("\n");
    stop(0);
}
