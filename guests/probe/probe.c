/*
 * The probe: does one thing over and over that may leave a virtual machine, so that its price can be told; and a program
 * with two rates, page-table updates and TLB misses, for the comparison of shadow and nested paging.
 * Invariants: everything runs at ring 0 with interrupts off, but for HLT; the result line depends on the options alone.
 * Source: SDM vol 3 for what each instruction does; 8259 and 8254 datasheets for the timer.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define PAGE 4096u
#define PRESENT_WRITABLE 3u
#define LARGE 0x80u
#define CR0_PG 0x80000000u
#define CR0_WP 0x10000u
#define CR0_TS 8u
#define CR4_PSE 0x10u

#define RAM_FIRST (8u << 20)  /* pages that the workloads touch begin here */
#define LOW_TABLES 2u         /* 8 MiB of kernel below them, in pages of 4 KiB */
#define TABLES_MAX 32u        /* up to 128 MiB */
#define WINDOW 0xC0000000u    /* 64 pages that `pte` and `paging` remap */
#define WINDOW_PAGES 64u

static u32 directory[1024] __attribute__((aligned(4096)));
static u32 tables[TABLES_MAX][1024] __attribute__((aligned(4096)));
static u32 window[1024] __attribute__((aligned(4096)));
static struct { u16 low, selector, type, high; } idt[64] __attribute__((aligned(8)));
volatile u32 ticks;

void start(void);
void on_undefined(void);
void on_timer(void);
void on_fault(void);

static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 in8(u16 port)
{
    u8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline void set_cr0(u32 value) { __asm__ volatile("movl %0, %%cr0" : : "r"(value) : "memory"); }
static inline void set_cr3(u32 value) { __asm__ volatile("movl %0, %%cr3" : : "r"(value) : "memory"); }
static inline void invlpg(u32 at) { __asm__ volatile("invlpg (%0)" : : "r"(at) : "memory"); }
static inline u32 get_cr0(void)
{
    u32 value;
    __asm__ volatile("movl %%cr0, %0" : "=r"(value));
    return value;
}

static void print(const char *text)
{
    while (*text != 0) out8(0xE9, (u8)*text++);
}

static void print_number(u32 value)
{
    char digits[11];
    u32 i = 10;
    digits[10] = 0;
    do digits[--i] = (char)('0' + value % 10); while ((value /= 10) != 0);
    print(digits + i);
}

static void __attribute__((noreturn)) power_off(u32 code)
{
    out32(0xF4, code);
    for (const char *text = "Shutdown"; *text != 0; text++) out8(0x8900, (u8)*text);
    for (;;) __asm__ volatile("cli; hlt");
}

/* ------------------------------------------------------------------ command line */

static const char *command_line = "";

static int same(const char *text, const char *name)
{
    while (*name != 0) if (*text++ != *name++) return 0;
    return 1;
}

/* The value of `name=` on the command line. */
static u32 option(const char *name, u32 otherwise)
{
    u32 length = 0;
    while (name[length] != 0) length++;
    for (const char *at = command_line; *at != 0; at++) {
        if ((at == command_line || at[-1] == ' ') && same(at, name) && at[length] == '=') {
            u32 value = 0;
            for (at += length + 1; *at >= '0' && *at <= '9'; at++) value = value * 10 + (u32)(*at - '0');
            return value;
        }
    }
    return otherwise;
}

/* The first word that is neither the file name nor an option. */
static int is_workload(const char *name)
{
    u32 length = 0;
    while (name[length] != 0) length++;
    const char *at = command_line;
    while (*at != 0) {
        while (*at == ' ') at++;
        const char *word = at;
        int plain = 1;
        while (*at != 0 && *at != ' ') {
            if (*at == '/' || *at == '.' || *at == '=') plain = 0;
            at++;
        }
        if (plain && at != word) return (u32)(at - word) == length && same(word, name);
    }
    return 0;
}

/* ------------------------------------------------------------------ set-up */

static void set_gate(u32 vector, void (*handler)(void))
{
    idt[vector].low = (u16)(u32)handler;
    idt[vector].high = (u16)((u32)handler >> 16);
    idt[vector].selector = 8;
    idt[vector].type = 0x8E00;
}

static void set_up_interrupts(void)
{
    for (u32 vector = 0; vector < 64; vector++) set_gate(vector, on_fault);
    set_gate(6, on_undefined);
    set_gate(32, on_timer);
    struct { u16 limit; u32 base; } __attribute__((packed)) pointer = { sizeof idt - 1, (u32)idt };
    __asm__ volatile("lidt %0" : : "m"(pointer));
    out8(0x20, 0x11), out8(0x21, 0x20), out8(0x21, 4), out8(0x21, 1);
    out8(0xA0, 0x11), out8(0xA1, 0x28), out8(0xA1, 2), out8(0xA1, 1);
    out8(0x21, 0xFF), out8(0xA1, 0xFF);
}

/* Linear = physical, by pages of 4 KiB; above the kernel by pages of 4 MiB if `large`. */
static void set_up_paging(u32 bytes, u32 large)
{
    for (u32 table = 0; table < TABLES_MAX && table * (PAGE << 10) < bytes; table++) {
        if (large && table >= LOW_TABLES) {
            directory[table] = (table << 22) | LARGE | PRESENT_WRITABLE;
            continue;
        }
        for (u32 i = 0; i < 1024; i++) tables[table][i] = (((table << 10) | i) * PAGE) | PRESENT_WRITABLE;
        directory[table] = (u32)tables[table] | PRESENT_WRITABLE;
    }
    for (u32 i = 0; i < WINDOW_PAGES; i++) window[i] = (RAM_FIRST + i * PAGE) | PRESENT_WRITABLE;
    directory[WINDOW >> 22] = (u32)window | PRESENT_WRITABLE;
    __asm__ volatile("movl %0, %%cr4" : : "r"(CR4_PSE));
    set_cr3((u32)directory);
    set_cr0(get_cr0() | CR0_PG | CR0_WP);
}

/* ------------------------------------------------------------------ workloads */

static u32 memory_bytes;

static u32 load(u32 at) { return *(volatile u32 *)at; }

/* Pages of the workload, checked against the memory there is. */
static u32 pages_option(u32 otherwise)
{
    u32 pages = option("pages", otherwise);
    if (pages == 0 || pages > (memory_bytes - RAM_FIRST) / PAGE) {
        print("probe: pages= does not fit the memory\n");
        power_off(2);
    }
    return pages;
}

static u32 run_hlt(u32 n)
{
    u32 hz = option("hz", 10000);
    if (hz < 19) {
        print("probe: hz= must be at least 19\n");
        power_off(2);
    }
    u32 divisor = 1193182 / hz;
    out8(0x43, 0x34), out8(0x40, (u8)divisor), out8(0x40, (u8)(divisor >> 8));
    out8(0x21, 0xFE);
    for (u32 i = 0; i < n; i++) __asm__ volatile("sti; hlt; cli");
    out8(0x21, 0xFF);
    return n;
}

/* Rewrites page-table entries and uses them; every other time with another frame. */
static u32 update(u32 count)
{
    static u32 turn;
    u32 sum = 0;
    for (u32 i = 0; i < count; i++, turn++) {
        u32 page = turn % WINDOW_PAGES;
        u32 frame = (page + (turn / WINDOW_PAGES & 1)) % WINDOW_PAGES;
        window[page] = (RAM_FIRST + frame * PAGE) | PRESENT_WRITABLE;
        invlpg(WINDOW + page * PAGE);
        sum += load(WINDOW + page * PAGE + 4);
    }
    return sum;
}

/* Touches pages in turn, so that with more pages than the TLB holds each touch misses. */
static u32 touch(u32 count, u32 pages)
{
    static u32 next;
    u32 sum = 0;
    for (u32 i = 0; i < count; i++) {
        sum += load(RAM_FIRST + next * PAGE + ((next << 6) & 0xFC0)) + next;
        next = next + 1 == pages ? 0 : next + 1;
    }
    return sum;
}

static u32 compute(u32 count)
{
    u32 x = 1;
    for (u32 i = 0; i < count; i++) x ^= x << 13, x ^= x >> 17, x ^= x << 5;
    return x;
}

static u32 run_paging(void)
{
    u32 rounds = option("rounds", 100), work = option("work", 1000);
    u32 updates = option("updates", 1), touches = option("touches", 100);
    u32 pages = pages_option(2048);
    u32 sum = 0;
    for (u32 round = 0; round < rounds; round++) {
        sum += compute(work) + update(updates) + touch(touches, pages);
        if ((round + 1) % (rounds / 8 + 1) == 0) out32(0xE4, rounds / 8 + 1);
    }
    out32(0xE4, rounds % (rounds / 8 + 1));
    return sum;
}

#define REPEAT(statement) do { for (u32 i = 0; i < n; i++) { statement; } } while (0)

/* One kind of exit, n times. Returns a number that says it was done, or 0 if the kind is unknown. */
static u32 run_kind(u32 n)
{
    u32 a, b, c, d, sum = 0;
    if (is_workload("pte")) load(WINDOW); /* now it is a table that somebody watches */
    if (is_workload("nothing")) REPEAT(__asm__ volatile("")) ;
    else if (is_workload("cpuid")) REPEAT(__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0)));
    else if (is_workload("vmcall")) REPEAT(__asm__ volatile(".byte 0x0f, 0x01, 0xc1" : "=a"(a) : "a"(0x7fffffff)));
    else if (is_workload("hlt")) return run_hlt(n);
    else if (is_workload("io")) REPEAT(sum += in8(0x21));
    else if (is_workload("msr")) REPEAT(__asm__ volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(0x1B)));
    else if (is_workload("cr0")) REPEAT(set_cr0(get_cr0() ^ CR0_TS));
    else if (is_workload("cr3")) REPEAT(set_cr3((u32)directory));
    else if (is_workload("invlpg")) REPEAT(invlpg(WINDOW));
    else if (is_workload("wbinvd")) REPEAT(__asm__ volatile("wbinvd"));
    else if (is_workload("pause")) REPEAT(__asm__ volatile("pause"));
    else if (is_workload("pte")) REPEAT(*(volatile u32 *)&window[i % WINDOW_PAGES] = window[i % WINDOW_PAGES]);
    else if (is_workload("touch")) {
        u32 pages = pages_option(n);
        return touch(n, pages) + 1;
    } else return 0;
    out32(0xE4, n);
    return n + sum;
}

struct multiboot { u32 flags, mem_lower, mem_upper, boot_device; const char *command_line; };

void __attribute__((noreturn)) probe_main(u32 magic, const struct multiboot *info)
{
    if (magic != 0x2BADB002) power_off(0x7E);
    if (info->flags & 4) command_line = info->command_line;
    memory_bytes = (info->mem_upper + 1024) * 1024;
    set_up_interrupts();
    set_up_paging(memory_bytes, option("large", 0));
    u32 result = is_workload("paging") ? run_paging() : run_kind(option("n", 1000));
    if (result == 0 && !is_workload("paging")) {
        print("probe: no such workload\n");
        power_off(2);
    }
    print("probe: result=");
    print_number(result);
    print("\n");
    power_off(0);
}
