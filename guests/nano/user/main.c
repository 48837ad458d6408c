/*
 * The first task: picks the workload the command line names, runs it, prints its one result line.
 * Invariant: exit code 0 after a result line, 2 after a mistake in the command line, 1 after a failure.
 * Source: our own.
 */
#include "user.h"
#ifdef NANO_LMBENCH
#include "../lmbench/lmbench.h"
#endif

static const struct workload workloads[] = {
#ifdef NANO_LMBENCH
#include "../lmbench/table.h"
#else
    {"sieve", run_sieve, {{"n", 20000, 2, 16000000}, {"rounds", 10, 1, 1000000}}},
    {"matmul", run_matmul, {{"n", 32, 1, 512}, {"rounds", 8, 1, 1000000}}},
    {"calls", run_calls, {{"depth", 16, 1, 40}, {"rounds", 20, 1, 1000000}}},
    {"chase", run_chase, {{"pages", 256, 2, 65536}, {"hops", 400000, 1, 4000000000u}, {"seed", 1, 1, 0xFFFFFFFF}}},
    {"syscall", run_syscall, {{"n", 20000, 1, 4000000000u}}},
    {"pgfault", run_pgfault, {{"n", 1000, 1, 4000000000u}}},
    {"ptemod", run_ptemod, {{"n", 50000, 1, 4000000000u}}},
    {"forkwait", run_forkwait, {{"n", 40, 1, 1000000}}},
    {"io", run_io, {{"n", 20000, 1, 4000000000u}}},
    {"idle", run_idle, {{"ticks", 20, 1, 1000000}}},
    {"web", run_web, {{"requests", 50, 1, 1000000}, {"gap", 2, 0, 100000}, {"work", 15000, 1, 100000000},
                      {"seed", 1, 1, 0xFFFFFFFF}}},
    {"mix", run_mix, {{"tasks", 4, 1, 32}, {"work", 100000, 1, 1000000000}}},
    {"faults", run_faults, {{0}}},
#endif
};

#define EXIT_FAILURE 1
#define EXIT_USAGE 2
#define WORD_BYTES 64
#define LINE_BYTES 256

static char cmdline[512];
static char line[LINE_BYTES];

static void say(const char *pattern, ...)
{
    va_list args;
    u32 length;

    va_start(args, pattern);
    length = format_list(line, sizeof line, pattern, args);
    va_end(args);
    sys_write(line, length);
}

void fail(const char *what)
{
    say("nano: failed: %s\n", what);
    sys_exit(EXIT_FAILURE);
}

void *map_or_fail(u32 bytes)
{
    void *memory = sys_map(bytes);

    if (!memory)
        fail("no room for the memory asked for");
    return memory;
}

/* Loaders put the file's name in front of the command line; options may stand anywhere. */
static int is_plain(const char *word)
{
    for (; *word; word++)
        if (*word == '=' || *word == '/' || *word == '.')
            return 0;
    return 1;
}

static const struct workload *workload_find(char *plain)
{
    const char *at = cmdline;
    char word[WORD_BYTES];

    *plain = 0;
    while (word_next(&at, word, sizeof word)) {
        for (const struct workload *w = workloads; w < workloads + ARRAY_LENGTH(workloads); w++)
            if (text_equal(word, w->name))
                return w;
        if (is_plain(word))
            text_copy(plain, word, WORD_BYTES);
    }
    return 0;
}

static void unknown_workload(const char *word)
{
    u32 used = format(line, sizeof line, "nano: unknown workload \"%s\"; one of:", word);

    for (const struct workload *w = workloads; w < workloads + ARRAY_LENGTH(workloads); w++)
        used += format(line + used, sizeof line - used, " %s", w->name);
    used += format(line + used, sizeof line - used, "\n");
    sys_write(line, used);
    sys_exit(EXIT_USAGE);
}

static void option_read(const struct workload *w, const char *word, u32 *value)
{
    const char *text;

    for (u32 i = 0; i < OPTION_COUNT && w->options[i].key; i++) {
        const struct option *o = &w->options[i];
        if (!word_has_key(word, o->key, &text))
            continue;
        if (parse_number(text, &value[i]) && value[i] >= o->min && value[i] <= o->max)
            return;
        say("nano: %s: %s must be %u..%u\n", w->name, o->key, o->min, o->max);
        sys_exit(EXIT_USAGE);
    }
    if (word_has_key(word, "hz", &text) || word_has_key(word, "console", &text))
        return; /* the kernel's own */
    say("nano: %s: unknown option \"%s\"\n", w->name, word);
    sys_exit(EXIT_USAGE);
}

static int is_option(const char *word)
{
    u32 equals = 0;

    for (; *word; word++) {
        if (*word == '/')
            return 0;
        equals += *word == '=';
    }
    return equals != 0;
}

static void options_read(const struct workload *w, u32 *value)
{
    const char *at = cmdline;
    char word[WORD_BYTES];

    for (u32 i = 0; i < OPTION_COUNT && w->options[i].key; i++)
        value[i] = w->options[i].fallback;
    while (word_next(&at, word, sizeof word))
        if (is_option(word))
            option_read(w, word, value);
}

static void result_print(const struct workload *w, const u32 *value, struct outcome outcome)
{
    u32 used = format(line, sizeof line, "nano: %s", w->name);

    for (u32 i = 0; i < OPTION_COUNT && w->options[i].key; i++)
        used += format(line + used, sizeof line - used, " %s=%u", w->options[i].key, value[i]);
    used += format(line + used, sizeof line - used, " result=%u checksum=0x%X\n", outcome.result, outcome.checksum);
    sys_write(line, used);
}

u32 main(void)
{
    char plain[WORD_BYTES];
    u32 value[OPTION_COUNT];

#ifdef NANO_LMBENCH
    if (sys_argument())
        return lmbench_program(sys_argument());
#endif
    sys_cmdline(cmdline, sizeof cmdline);
    const struct workload *w = workload_find(plain);
    if (!w)
        unknown_workload(plain);
    options_read(w, value);
    struct outcome outcome = w->run(value);
#ifdef NANO_LMBENCH
    sys_work(value[0]); /* all at once: reports in between would be measured, too */
#endif
    result_print(w, value, outcome);
    return 0;
}
