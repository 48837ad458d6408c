/*
 * A kernel that asks the VMM for everything that it must not get, says what it was told, and at last breaks a rule that
 * no hypercall asks about: it writes to its own page table. With `seed=` on the command line it does something else:
 * it fills memory with random bytes and executes them at ring 1, `rounds=` times, whatever exceptions come.
 * Invariant: without a seed every line depends on the interface alone, not on the machine.
 * Source: our own; the rules are those of docs/paravirtual.md.
 */
#include "../nano/kernel/pv/pv.h"

#define PRESENT 1u
#define WRITE 2u
#define LARGE 0x80u
#define GLOBAL 0x100u
#define VMM_BASE 0xFFC00000u

static struct pv_start *info;
static u32 spare[3 * 1024] __attribute__((aligned(4096)));
static u32 refused, granted;

static void say(const char *pattern, ...)
{
    char line[120];
    va_list args;
    u32 length;

    va_start(args, pattern);
    length = format_list(line, sizeof line, pattern, args);
    va_end(args);
    hypercall(HC_CONSOLE_WRITE, (u32)line, length, 0, 0);
}

static u32 machine(const void *address)
{
    return info->machine_frame[(u32)address >> 12] << 12 | ((u32)address & 0xFFF);
}

static void told(const char *what, int result)
{
    if (result < 0) {
        refused++;
        say("refused %u: %s\n", -result, what);
    } else {
        granted++;
        say("granted %u: %s\n", result, what);
    }
}

static int update(u32 target, u32 value)
{
    u32 request[2] = {target, value};

    return hypercall(HC_MMU_UPDATE, (u32)request, 1, 0, 0);
}

static int extended(u32 frame, u32 command)
{
    return update((frame & ~0xFFFu) | MMU_EXTENDED, command);
}

static int trap(u32 vector, u32 flags, u32 address)
{
    u32 entry[3] = {vector, flags, address};

    return hypercall(HC_SET_TRAP_TABLE, (u32)entry, 1, 0, 0);
}

static void ask_for_page_tables(void)
{
    u32 *directory = info->directory;
    u32 *table = (u32 *)(info->page_number[(directory[0] >> 12) - info->machine_first] << 12);
    u32 entry = machine(&table[512]);
    u32 foreign = (info->machine_first + info->machine_count + 100) << 12;

    told("map a page table writable", update(entry, machine(table) | PRESENT | WRITE));
    told("map the directory writable", update(entry, machine(directory) | PRESENT | WRITE));
    told("map the VMM's table", update(entry, (directory[1023] & ~0xFFFu) | PRESENT));
    told("map a frame of nobody or somebody else", update(entry, foreign | PRESENT | WRITE));
    told("map machine frame 0", update(entry, PRESENT | WRITE));
    told("map a frame beyond memory", update(entry, 0xFFFFF000u | PRESENT));
    told("make a page global", update(entry, machine(spare) | PRESENT | GLOBAL));
    told("link a large page", update(machine(&directory[200]), PRESENT | WRITE | LARGE));
    told("link a writable page as a page table", update(machine(&directory[200]), machine(spare) | PRESENT | WRITE));
    told("link the directory into itself", update(machine(&directory[200]), machine(directory) | PRESENT | WRITE));
    told("replace the VMM's slot", update(machine(&directory[1023]), 0));
    told("update memory that is no table", update(machine(&spare[0]), 0));
    told("update a frame of somebody else", update(foreign, 0));
    told("update half a word further", update(entry + 2, 0)); /* bits 0 and 1 name a kind of request: there is no kind 2 */
    told("pin a writable page as a table", extended(machine(spare), EXT_PIN_L1));
    told("pin a frame of somebody else", extended(foreign, EXT_PIN_L2));
    told("unpin what is not pinned", extended(machine(table), EXT_UNPIN));
    told("walk a page table as a directory", extended(machine(table), EXT_NEW_BASE));
    told("walk ordinary memory", extended(machine(spare), EXT_NEW_BASE));
    told("an unknown extended request", extended(machine(spare), 77));
    told("requests from an address that is not mapped", hypercall(HC_MMU_UPDATE, 0xA0000000u, 1, 0, 0));
    told("requests from the VMM's memory", hypercall(HC_MMU_UPDATE, VMM_BASE, 1, 0, 0));
    told("more requests than there may be", hypercall(HC_MMU_UPDATE, (u32)spare, 0x7FFFFFFF, 0, 0));
    told("map into the VMM's memory", hypercall(HC_UPDATE_VA_MAPPING, VMM_BASE, machine(spare) | PRESENT | WRITE, 0, 0));
    told("map where no table is", hypercall(HC_UPDATE_VA_MAPPING, 0xA0000000u, machine(spare) | PRESENT, 0, 0));
}

static void ask_for_control(void)
{
    told("an unknown hypercall", hypercall(31, 0, 0, 0, 0));
    told("a handler inside the VMM", trap(14, 0, VMM_BASE));
    told("the gate of the hypercalls", trap(VECTOR_HYPERCALL, 3, 0x100000));
    told("a vector that does not exist", trap(256, 0, 0x100000));
    told("a gate with unknown flags", trap(3, 0x80, 0x100000));
    told("a trap table longer than the vectors", hypercall(HC_SET_TRAP_TABLE, (u32)spare, 257, 0, 0));
    told("a kernel stack of ring 0", hypercall(HC_STACK_SWITCH, 0x10, (u32)spare, 0, 0));
    told("a kernel stack in the VMM's TSS", hypercall(HC_STACK_SWITCH, 0x28, VMM_BASE, 0, 0));
    told("events to the VMM", hypercall(HC_SET_CALLBACKS, VMM_BASE + 16, 0, 0, 0));
    told("a timer without a port", hypercall(HC_SET_TIMER, 1, 0, 0, 0));
    told("an event to a port not in use", hypercall(HC_EVENT_CHANNEL_OP, EVENT_SEND, 5, 0, 0));
    told("close a port not in use", hypercall(HC_EVENT_CHANNEL_OP, EVENT_CLOSE, 40, 0, 0));
    told("text from the VMM's memory", hypercall(HC_CONSOLE_WRITE, VMM_BASE, 16, 0, 0));
    told("text without end", hypercall(HC_CONSOLE_WRITE, (u32)spare, 0x80000000u, 0, 0));
    told("a port of 3 bytes", hypercall(HC_PORT_IO, PORT_READ, 0x21, 3, 0));
    told("an unknown scheduler operation", hypercall(HC_SCHED_OP, 9, 0, 0, 0));
    spare[0] = HC_MULTICALL;
    told("a multicall in a multicall", hypercall(HC_MULTICALL, (u32)spare, 1, 0, 0));
}

static void break_a_rule(void)
{
    say("hostile: %u refused, %u granted; now a store to the directory\n", refused, granted);
    *(volatile u32 *)&info->directory[1023] = 0;
    say("hostile: IT WORKED\n");
    hypercall(HC_SCHED_OP, SCHED_SHUTDOWN, 1, 0, 0);
}

/* ---- random code ---- */

#define CODE_WORDS 64
#define VECTORS 20
#define TICK_NS 200000u /* a loop without end costs no more */

static u32 random_state, rounds_left, rounds_done;
static u32 code[CODE_WORDS + 4] __attribute__((aligned(4096)));
extern char stack_top[], next_round_entry[];

/* An exception, an event or a return got us here, with any registers and perhaps any memory: start over. */
__asm__(".text\n"
        "next_round_entry:\n"
        "    movw $0x10, %ax\n"
        "    movw %ax, %ds\n"
        "    movw %ax, %es\n"
        "    movl $stack_top, %esp\n"
        "    cld\n"
        "    call next_round\n");

static u32 random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static void set_deadline(void)
{
    u32 ns = (u32)info->shared->clock.system_time;
    u32 high = (u32)(info->shared->clock.system_time >> 32);
    u32 low, tsc_high, delta;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(tsc_high));
    delta = low - (u32)info->shared->clock.tsc_stamp; /* cycles: at least as many as nanoseconds on a machine of 1 GHz */
    info->shared->pending = 0;
    info->shared->mask = 0;
    hypercall(HC_SET_TIMER, ns + delta + TICK_NS, high + (ns + delta + TICK_NS < ns), 0, 0);
}

/* Hypercalls are as likely as anything else: a few bytes that name one are put among the others. */
static void fill_code(void)
{
    static const u8 interesting[][2] = {{0xCD, 0x82}, {0xCD, 0x80}, {0x0F, 0x22}, {0x0F, 0x01}, {0xCF, 0x90},
                                        {0x8E, 0xD0}, {0xEE, 0xEC}, {0xFA, 0xF4}, {0x0F, 0x00}, {0xCB, 0x9D}};
    u8 *bytes = (u8 *)code;

    for (u32 i = 0; i < CODE_WORDS; i++)
        code[i] = random_next();
    for (u32 i = 0; i < 8; i++) {
        u32 at = random_next() % (CODE_WORDS * 4 - 8), which = random_next() % ARRAY_LENGTH(interesting);
        bytes[at] = 0xB0 | (random_next() & 1 ? 0 : 8); /* MOV AL or EAX: a small number first */
        bytes[at + 1] = (u8)(random_next() % 36);
        bytes[at + 2] = bytes[at + 3] = bytes[at + 4] = 0;
        bytes[at + 5] = interesting[which][0];
        bytes[at + 6] = interesting[which][1];
    }
}

void next_round(void)
{
    if (!rounds_left--) {
        say("hostile: %u rounds of random code\n", rounds_done);
        hypercall(HC_SCHED_OP, SCHED_SHUTDOWN, 0, 0, 0);
    }
    rounds_done++;
    fill_code();
    set_deadline();
    __asm__ volatile("movl %0, %%eax; movl %1, %%ebx; movl %2, %%ecx; movl %3, %%edx; movl %0, %%esi; jmp *%4"
                     :
                     : "g"((u32)info->directory), "g"(machine(info->directory)), "g"(random_next() % 4096),
                       "g"((u32)spare), "D"(code)
                     : "eax", "ebx", "ecx", "edx", "esi");
}

static void execute_anything(u32 seed, u32 rounds)
{
    random_state = seed;
    rounds_left = rounds;
    for (u32 vector = 0; vector < VECTORS; vector++)
        trap(vector, TRAP_MASKS, (u32)next_round_entry);
    trap(0x80, TRAP_DPL3, (u32)next_round_entry);
    hypercall(HC_SET_CALLBACKS, (u32)next_round_entry, 0, 0, 0);
    hypercall(HC_STACK_SWITCH, SEL_PV_KERNEL_DATA, (u32)stack_top, 0, 0);
    hypercall(HC_EVENT_CHANNEL_OP, EVENT_BIND_TIMER, 0, 0, 0);
    next_round();
}

static u32 option(const char *line, const char *key, u32 fallback)
{
    const char *value;
    char word[32];
    u32 number = fallback;

    while (word_next(&line, word, sizeof word))
        if (word_has_key(word, key, &value))
            parse_number(value, &number);
    return number;
}

void hostile_main(struct pv_start *start, const char *const *boot)
{
    u32 seed;

    info = start;
    seed = option(boot[4], "seed", 0); /* word 4 of the Multiboot information: the command line */
    if (seed)
        execute_anything(seed, option(boot[4], "rounds", 100));
    ask_for_page_tables();
    ask_for_control();
    break_a_rule();
}
