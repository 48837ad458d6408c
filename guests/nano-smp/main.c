/*
 * The command line, the start of all CPUs, the one result line and the end.
 * Invariants: the result line depends on options and number of CPUs only, never on time; exit code 0 after one without
 *             errors, 1 after errors, 2 after a mistake in the command line.
 * Source: Multiboot specification 0.6.96, 3.3; ports of QEMU (0xE9, 0xF4), Bochs (0x8900) and hvsim (0xE4).
 */
#include "smp.h"

#define MULTIBOOT_LOADED 0x2BADB002u
#define MULTIBOOT_HAS_CMDLINE 0x4u
#define PORT_DEBUG 0xE9
#define PORT_EXIT 0xF4
#define PORT_PROGRESS 0xE4
#define PORT_BOCHS_POWER 0x8900
#define EXIT_ERRORS 1
#define EXIT_USAGE 2
#define EXIT_PANIC 0x7F
#define WORD_BYTES 64

struct multiboot_info { u32 flags, memory[2], boot_device; const char *cmdline; };

static char command_line[512];
static const struct workload *workload;
static u32 value[OPTIONS_MAX];
static u32 cpus_wanted = CPUS_MAX, with_stats;
static volatile u32 go, finished, reported;
struct waiting waiting[CPUS_MAX];

/* ---- out ---- */

void print(const char *pattern, ...)
{
    char line[256];
    va_list args;

    va_start(args, pattern);
    u32 length = format_list(line, sizeof line, pattern, args);
    va_end(args);
    for (u32 i = 0; i < length; i++)
        outb(PORT_DEBUG, (u8)line[i]);
}

void shutdown(u32 code)
{
    const char *word = "Shutdown";

    outl(PORT_EXIT, code);
    while (*word)
        outb(PORT_BOCHS_POWER, (u8)*word++);
    cli();
    for (;;)
        hlt();
}

void panic(const char *what)
{
    cli();
    print("nano-smp: panic: %s\n", what);
    shutdown(EXIT_PANIC);
}

static void usage(const char *what, const char *word)
{
    print("nano-smp: %s \"%s\"\n", what, word);
    shutdown(EXIT_USAGE);
}

void progress(u32 units)
{
    if (units <= reported)
        return;
    reported = units;
    outl(PORT_PROGRESS, units);
}

/* ---- options ---- */

static u32 option_value(const struct option *o, const char *text)
{
    u32 number;

    if (!o->words) {
        if (parse_number(text, &number) && number >= o->min && number <= o->max)
            return number;
        print("nano-smp: %s must be %u..%u\n", o->key, o->min, o->max);
        shutdown(EXIT_USAGE);
    }
    for (number = 0; number <= o->max; number++)
        if (text_equal(text, o->words[number]))
            return number;
    print("nano-smp: %s must be one of:", o->key);
    for (number = 0; number <= o->max; number++)
        print(" %s", o->words[number]);
    print("\n");
    shutdown(EXIT_USAGE);
}

static void option_read(const char *word)
{
    static const struct option cpus = {"cpus", 0, 1, CPUS_MAX, 0}, stats = {"stats", 0, 0, 1, 0};
    const char *text;

    if (word_has_key(word, "cpus", &text)) {
        cpus_wanted = option_value(&cpus, text);
        return;
    }
    if (word_has_key(word, "stats", &text)) {
        with_stats = option_value(&stats, text);
        return;
    }
    for (u32 i = 0; i < OPTIONS_MAX && workload->options[i].key; i++)
        if (word_has_key(word, workload->options[i].key, &text)) {
            value[i] = option_value(&workload->options[i], text);
            return;
        }
    usage("unknown option", word);
}

static int has(const char *word, char c)
{
    for (; *word; word++)
        if (*word == c)
            return 1;
    return 0;
}

/* Loaders put the file's name in front: words with '/' or '.' are not ours. */
static void command_line_read(void)
{
    const char *at = command_line;
    char word[WORD_BYTES];

    while (word_next(&at, word, sizeof word)) {
        if (has(word, '/') || has(word, '.') || has(word, '='))
            continue;
        for (u32 i = 0; i < workload_count; i++)
            if (text_equal(word, workloads[i].name))
                workload = &workloads[i];
        if (!workload)
            usage("unknown workload", word);
    }
    if (!workload)
        usage("unknown workload", "");
    for (u32 i = 0; i < OPTIONS_MAX; i++)
        value[i] = workload->options[i].fallback;
    at = command_line;
    while (word_next(&at, word, sizeof word))
        if (has(word, '=') && !has(word, '/'))
            option_read(word);
}

/* ---- all CPUs ---- */

static void halt_until_set(volatile u32 *word, u32 wanted)
{
    for (;;) {
        cli();
        if (*word == wanted)
            break;
        sti_hlt();
    }
    sti();
}

static void take_part(u32 cpu)
{
    workload->run(cpu, value);
    if (add_locked(&finished, 1) == cpu_count - 1 && cpu != 0)
        send_to(0, VECTOR_WAKE);
}

void other_work(u32 cpu)
{
    halt_until_set(&go, 1);
    take_part(cpu);
    cli();
    for (;;)
        hlt();
}

static u32 result_print(void)
{
    u32 result, errors, checksum;

    workload->result(value, &result, &errors, &checksum);
    print("nano-smp: %s cpus=%u", workload->name, cpu_count);
    for (u32 i = 0; i < OPTIONS_MAX && workload->options[i].key; i++) {
        const struct option *o = &workload->options[i];
        if (o->words)
            print(" %s=%s", o->key, o->words[value[i]]);
        else
            print(" %s=%u", o->key, value[i]);
    }
    print(" result=%u errors=%u checksum=0x%X\n", result, errors, checksum);
    return errors;
}

/* What depends on time: only if asked for. */
static void stats_print(void)
{
    for (u32 cpu = 0; cpu < cpu_count; cpu++)
        print("nano-smp: cpu %u spins=%u halts=%u kicks=%u\n", cpu, waiting[cpu].spins, waiting[cpu].halts,
              waiting[cpu].kicks);
}

void boot_main(u32 magic, const struct multiboot_info *info)
{
    if (magic != MULTIBOOT_LOADED)
        panic("no multiboot loader");
    if (info->flags & MULTIBOOT_HAS_CMDLINE)
        text_copy(command_line, info->cmdline, sizeof command_line);
    command_line_read();
    machine_read();
    cpu_start_up();
    others_start(cpus_wanted < cpu_count ? cpus_wanted : cpu_count);
    sti();
    go = 1;
    barrier_full();
    send_to_others(VECTOR_WAKE);
    take_part(0);
    halt_until_set(&finished, cpu_count);
    u32 errors = result_print();
    if (with_stats)
        stats_print();
    shutdown(errors ? EXIT_ERRORS : 0);
}
